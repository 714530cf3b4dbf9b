"""Programs that `go install` builds from their published module: Telegraf (a peer to measure against) and toxiproxy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec

from compose.stack.build_tools import Tool, needed
from compose.stack.go_module import ALIKE, POLITE
from compose.stack.steps import run
from compose.stack.tools import Version, search_path, version_told, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say


class GoRecipe(msgspec.Struct, frozen=True):
    """A command of a Go module. `stamp` is the variable into which the linker writes the version."""

    name: str
    variable: str
    builds: str
    module: str
    stamp: str
    command: str
    ask: str
    accepts: tuple[Version, Version]
    install: str
    takes: str
    tags: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    package: str = ""
    go: Version = (1, 23)

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """The command as PATH leads to it."""
        return which(self.command, env)

    def in_folder(self, folder: Path) -> Path:
        """The binary lies at the top."""
        return folder / self.command

    def version_of(self, path: Path) -> Version:
        """What the binary itself says."""
        return version_told([str(path), self.ask])

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Compiles it with the Go on this machine."""
        go = needed(Tool("go", self.go, "version", "golang-go"), self.install, env, say)
        work.mkdir(parents=True, exist_ok=True)
        say(f"{self.name}: building {self.builds} with {go}; {self.takes}, once")
        run(
            self._install(str(go)),
            what=f"{self.name}: go install",
            folder=work,
            env=self._environment(work, env),
            log=work / "build.log",
            say=say,
        )
        shutil.move(work / "bin" / self.module.rpartition("/")[2], self.in_folder(folder))

    def _install(self, go: str) -> list[str]:
        tags = ["-tags", ",".join(self.tags)] if self.tags else []
        stamped = f"-s -w -X {self.stamp}={self.builds}"
        return [*POLITE, go, "install", "-ldflags", stamped, *self.flags, *tags, f"{self.module}@v{self.builds}"]

    def _environment(self, work: Path, env: Mapping[str, str]) -> dict[str, str]:
        return {
            **env,
            "PATH": search_path(env),
            "GOBIN": str(work / "bin"),
            "GOWORK": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-buildvcs=false",
            "CGO_ENABLED": "0",
        }


TOXIPROXY = GoRecipe(
    name="toxiproxy",
    variable="TIDEGATE_TOXIPROXY",
    builds="2.12.0",
    module="github.com/Shopify/toxiproxy/v2/cmd/server",
    stamp="github.com/Shopify/toxiproxy/v2.Version",
    command="toxiproxy-server",
    ask="-version",
    accepts=((2, 5), (3,)),
    install="install toxiproxy 2 (`toxiproxy-server` on PATH or named by TIDEGATE_TOXIPROXY) or, to build it, Go 1.23",
    takes="usually a quarter of a minute",
    flags=ALIKE,
)

TELEGRAF = GoRecipe(
    name="telegraf",
    variable="TIDEGATE_TELEGRAF",
    builds="1.39.3",
    module="github.com/influxdata/telegraf/cmd/telegraf",
    stamp="github.com/influxdata/telegraf/internal.Version",
    command="telegraf",
    ask="--version",
    accepts=((1, 30), (2,)),
    install="install Telegraf 1.30 or newer (on PATH or named by TIDEGATE_TELEGRAF) or, to build it, Go 1.26",
    takes="usually one to two minutes",
    # Only what the bench needs: with all plugins the binary has 300 MB.
    tags=(
        "custom",
        "inputs.mqtt_consumer",
        "aggregators.basicstats",
        "outputs.kafka",
        "parsers.json",
        "serializers.json",
    ),
)
