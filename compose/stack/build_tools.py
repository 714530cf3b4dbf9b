"""Compilers and the like, from PATH or from the system's packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from compose.stack.errors import CannotObtain
from compose.stack.packages import install_package
from compose.stack.tools import Version, show, version_told, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say


class Tool(msgspec.Struct, frozen=True):
    """A command, its least version, what to ask it for its version, and the Debian package that has it."""

    command: str
    least: Version
    ask: str
    package: str


def needed(tool: Tool, install: str, env: Mapping[str, str], say: Say) -> Path:
    """The tool's path, its package installed if it is missing and that can be done.

    Raises CannotObtain that says what was found, what was expected, and `install`.
    """
    path = which(tool.command, env)
    if path is None and install_package(tool.package, env, say):
        path = which(tool.command, env)
    if path is None:
        raise CannotObtain(f"`{tool.command}` is not installed (looked on PATH); {install}")
    found = version_told([str(path), tool.ask])
    if found < tool.least:
        raise CannotObtain(f"{path} is version {show(found)}, expected at least {show(tool.least)}; {install}")
    return path
