"""Finding the tools that building needs, and judging their versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Version = tuple[int, ...]

# System servers live in sbin, language tools in their own folders: neither is on every user's PATH.
ALSO = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/go/bin")


def search_path(env: Mapping[str, str]) -> str:
    """PATH and the folders where servers and compilers are put without being on it."""
    own = [str(Path.home() / ".cargo/bin"), str(Path.home() / "go/bin")]
    return os.pathsep.join([env.get("PATH", os.defpath), *ALSO, *own])


def which(command: str, env: Mapping[str, str]) -> Path | None:
    """The absolute path of a command, or None."""
    found = shutil.which(command, path=search_path(env))
    return Path(found).absolute() if found else None


def parse_version(text: str) -> Version:
    """The version that a program's answer names, (2, 7, 12) in `InfluxDB v2.7.12 (git: …)`; () when there is none.

    Java quotes its own, which may have no dot: `openjdk version "21" 2023-09-19`. Elsewhere it is the first dotted one.
    """
    found = re.search(r'version "(\d+(?:\.\d+)*)', text) or re.search(r"(\d+(?:\.\d+)+)", text)
    return tuple(map(int, found[1].split("."))) if found else ()


def show(version: Version) -> str:
    """(4, 3, 1) as "4.3.1"."""
    return ".".join(map(str, version)) or "unknown"


def version_told(argv: list[str]) -> Version:
    """The version a program names when asked; () when it cannot be run or names none."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(done.stdout + done.stderr)
