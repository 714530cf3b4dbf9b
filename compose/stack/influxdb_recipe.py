"""InfluxDB's program: named, on PATH, or built once from source (no distribution packages version 2)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from compose.stack.influxdb_build import INSTALL, build_influxd
from compose.stack.tools import Version, version_told, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say


class InfluxdbRecipe:
    """influxd 2.7 and up."""

    name = "influxdb"
    variable = "TIDEGATE_INFLUXD"
    builds = "2.7.12"
    package = ""
    accepts: tuple[Version, Version] = ((2, 7), (3,))
    install = INSTALL

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """`influxd`."""
        return which("influxd", env)

    def in_folder(self, folder: Path) -> Path:
        """The binary lies at the top."""
        return folder / "influxd"

    def version_of(self, path: Path) -> Version:
        """What `influxd version` says."""
        return version_told([str(path), "version"])

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Compiles it; see influxdb_build."""
        shutil.move(build_influxd(work, self.builds, env, say), self.in_folder(folder))
