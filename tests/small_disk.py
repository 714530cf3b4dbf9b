"""A real file system of a few hundred kilobytes that can be full, become larger, and be read-only: tmpfs in a namespace.

No privilege is needed. Only processes started behind `entering()` see it.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def allowed() -> bool:
    """Whether this system lets one make such a disk: some containers forbid user namespaces."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # not Linux
        return False


class SmallDisk:
    """`folder` is where it is mounted."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        # Whoever holds the namespace holds the disk.
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(b"there\n")
        self._holder.stdin.flush()
        assert self._holder.stdout.readline() == b"there\n", "this system allows no user namespaces"
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))

    def entering(self) -> list[str]:
        """What a command line begins with, to see the disk."""
        return ["nsenter", f"--target={self._holder.pid}", "--user", "--mount", "--preserve-credentials"]

    def resize(self, size: int) -> None:
        """Another size in bytes; what is there stays."""
        self._mount("-o", f"remount,size={size}", str(self._folder))

    def read_only(self, *, so: bool = True) -> None:
        """Whether it can be written; nobody has it open."""
        self._mount("-o", "remount,ro" if so else "remount,rw", str(self._folder))

    def close(self) -> None:
        """Everything on it is gone."""
        self._holder.communicate()

    def _mount(self, *arguments: str) -> None:
        subprocess.run([*self.entering(), "mount", *arguments], check=True)
