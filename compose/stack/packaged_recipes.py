"""Programs that distributions package well enough: Mosquitto, Alertmanager and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from compose.stack.errors import CannotObtain
from compose.stack.tools import Version, version_told, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say


class PackagedRecipe(msgspec.Struct, frozen=True):
    """A single binary from PATH or from a Debian package; never built or cached here."""

    name: str
    variable: str
    package: str
    commands: tuple[str, ...]
    ask: str
    accepts: tuple[Version, Version]
    install: str
    builds: str = ""

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """The first of its names that PATH (or sbin) has."""
        return next(filter(None, (which(command, env) for command in self.commands)), None)

    def in_folder(self, folder: Path) -> Path:
        """Where a cached one would lie."""
        return folder / self.commands[0]

    def version_of(self, path: Path) -> Version:
        """What the binary itself says."""
        return version_told([str(path), self.ask])

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:  # noqa: ARG002 - the port's shape
        """Raises CannotObtain: there is no build."""
        raise CannotObtain(self.install)


MOSQUITTO = PackagedRecipe(
    name="mosquitto",
    variable="TIDEGATE_MOSQUITTO",
    package="mosquitto",
    commands=("mosquitto",),
    ask="-h",
    accepts=((2,), (3,)),
    install="install Mosquitto 2 (package mosquitto in Debian, Fedora and Arch) or set TIDEGATE_MOSQUITTO to its binary",
)

ALERTMANAGER = PackagedRecipe(
    name="alertmanager",
    variable="TIDEGATE_ALERTMANAGER",
    package="prometheus-alertmanager",
    commands=("alertmanager", "prometheus-alertmanager"),
    ask="--version",
    # The flag and the file for basic authentication are stable from 0.24 on.
    accepts=((0, 24), (1,)),
    install="install Alertmanager 0.24 or newer (Debian package prometheus-alertmanager) or set TIDEGATE_ALERTMANAGER to "
    "its binary",
)

PROMETHEUS = PackagedRecipe(
    name="prometheus",
    variable="TIDEGATE_PROMETHEUS",
    package="prometheus",
    commands=("prometheus",),
    ask="--version",
    # From 3 on a range leaves out its left end, so that the same rules give other numbers in promtool's tests.
    accepts=((2, 40), (3,)),
    install="install Prometheus 2.40 or a newer 2.x (package prometheus in Debian) or set TIDEGATE_PROMETHEUS to its binary",
)
