"""What stands for a small disk where none can be mounted: no file may become larger, or nothing may be written at all.

The first is a limit on the size of a process's files (RLIMIT_FSIZE): a write beyond it fails, as on a full disk, with
another number of error. The second is permissions, which root must first be made to heed.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 512
_ENTER = 'echo $$ > "$0"; ulimit -S -f "$1"; shift; exec "$@"'
_AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


class LimitedFiles:
    """The interface of SmallDisk, for a folder on the disk that is there; `size` bounds each single file."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._size, self._pid = folder, size, 0
        self._told = folder.with_name("entering")
        os.mkfifo(self._told)

    def entering(self) -> list[str]:
        """What a command line begins with: of one process, and of those that it starts."""
        return [
            *(_AS_ANYBODY if os.geteuid() == 0 else []),
            "sh",
            "-c",
            _ENTER,
            str(self._told),
            str(self._size // _BLOCK_BYTES),
        ]

    def resize(self, size: int) -> None:
        """Another bound in bytes, for processes that are started from now on."""
        resource.prlimit(self._entered(), resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def read_only(self, *, so: bool = True) -> None:
        """Whether it can be written; nobody has it open."""
        for path in (self._folder, *self._folder.rglob("*")):
            writable = 0o700 if path.is_dir() else 0o600
            path.chmod(writable & (0o577 if so else 0o777))

    def close(self) -> None:
        """Nothing is in the way any more."""
        self.read_only(so=False)

    def _entered(self) -> int:
        if not self._pid:
            self._pid = int(self._told.read_text())  # waits until it is said
        return self._pid
