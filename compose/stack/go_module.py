"""A throw-away Go module to build in: for programs whose own module has replacements, which `go install` refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from compose.stack.build_tools import Tool, needed
from compose.stack.steps import answer, run
from compose.stack.tools import search_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from compose.stack.steps import Say
    from compose.stack.tools import Version


class GoModule(msgspec.Struct, frozen=True):
    """A folder with a go.mod that names what is to be built, and the Go that builds it."""

    name: str
    folder: Path
    go: str
    env: dict[str, str]

    def begin(self, lines: Iterable[str]) -> None:
        """Writes the go.mod: `require`, `replace` and other lines, each whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "go.mod").write_text("\n".join(["module tidegate.build", *lines, ""]))

    def fetched(self, module: str, version: str) -> Path:
        """The folder of a module's sources in Go's own (read-only) cache."""
        return Path(self._told(module, version)["Dir"])

    def description(self, module: str, version: str) -> dict[str, Any]:
        """A module's go.mod as JSON (`go help mod edit`), without the sources."""
        asked = [self.go, "mod", "edit", "-json", self._told(module, version)["GoMod"]]
        found: dict[str, Any] = msgspec.json.decode(answer(asked, folder=self.folder, env=self.env))
        return found

    def build(self, package: str, target: Path, say: Say, stamps: Mapping[str, str] | None = None) -> None:
        """Compiles a command into `target`; the linker writes the stamps into the variables that they name."""
        linker = " ".join(["-s -w", *(f"-X {variable}={value}" for variable, value in (stamps or {}).items())])
        argv = [*POLITE, self.go, "build", "-ldflags", linker, *ALIKE, "-o", str(target), package]
        self.run(argv, f"{self.name}: compiling {target.name}", say)

    def run(self, argv: list[str], what: str, say: Say) -> None:
        """Runs a command in the folder; its output is in `build.log`."""
        run(argv, what=what, folder=self.folder, env=self.env, log=self.folder / "build.log", say=say)

    def _told(self, module: str, version: str) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        asked = [self.go, "mod", "download", "-json", f"{module}@v{version}"]
        found: dict[str, Any] = msgspec.json.decode(answer(asked, folder=self.folder, env=self.env))
        return found


LEAST: Version = (1, 24)
POLITE = ("nice", "-n", "10")
NO_DEBUGGING = "-gcflags=all=-dwarf=false"
"""What the linker's `-w` drops in the end need not be made."""
ALIKE = ("-trimpath", f"{NO_DEBUGGING} -l")
"""For programs whose speed nobody measures: without inlining (`-l`) they are compiled with a quarter less work, and what is
compiled with the same flags and without cgo is shared, the standard library above all."""


def go_module(name: str, work: Path, install: str, env: Mapping[str, str], say: Say) -> GoModule:
    """A module in the folder `work`. Raises CannotObtain where there is no Go that is new enough."""
    go = needed(Tool("go", LEAST, "version", "golang-go"), install, env, say)
    own = {"GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -mod=mod", "CGO_ENABLED": "0"}
    return GoModule(name, work, str(go), {**env, "PATH": search_path(env), **own})
