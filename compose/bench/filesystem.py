"""What the journal is written to: the file system, and how long its fsync takes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

REFUSED = frozenset({"tmpfs", "ramfs"})
_SYNCS, _BLOCK = 100, bytes(64 * 1024)


class UnfitFileSystemError(ValueError):
    """The folder is in memory: what is written there has not been written."""


def filesystem_of(folder: Path) -> str:
    """The type of the file system that holds `folder`. Raises UnfitFileSystemError for one in memory."""
    path = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    found = next((mounts[place] for place in (path, *path.parents) if place in mounts), "unknown")
    if found in REFUSED:
        raise UnfitFileSystemError(
            f"{folder} is on {found}, where a sync costs nothing: name a folder on a disk (--dir)"
        )
    return found


def fsync_p99_ms(folder: Path, syncs: int = _SYNCS) -> float:
    """The 99th percentile of appending 64 KiB and syncing it."""
    path = folder / "fsync-probe"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(syncs):
            file.write(_BLOCK)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    path.unlink()
    return float(np.percentile(took, 99)) * 1000


def disk_figures(folder: Path) -> dict[str, Any]:
    """What every bench tells of its disk. Raises UnfitFileSystemError for one in memory."""
    return {"filesystem": filesystem_of(folder), "fsync_p99_ms": round(fsync_p99_ms(folder), 2)}
