"""What a start changes of a gateway's files, kept so that the same start can be made again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

USUAL, LAGGING = "usual", "lagging"
_NEWEST = 2
"""Files of the journal: the newest is written to, and what came last may have begun it."""


def keep(place: Path, name: str) -> None:
    """Copy what a start writes to, as it is now."""
    for path in _written(place / "edge"):
        target = place / name / path.relative_to(place / "edge")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def restore(place: Path, name: str) -> None:
    """Put back what was kept, and let the kernel forget all files of the gateway: a start reads them from the disk."""
    edge, kept = place / "edge", place / name
    oldest = min(path.name for path in (kept / "journal").glob("journal-*.db"))
    newer = [path for path in (edge / "journal").glob("journal-*") if path.name >= oldest]
    for path in [*newer, *edge.glob("state.db*"), edge / "journal" / "tally"]:
        path.unlink(missing_ok=True)
    shutil.copytree(kept, edge, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in edge.rglob("*"):
        if path.is_file():
            _forget(path)


def _written(edge: Path) -> list[Path]:
    newest = sorted((edge / "journal").glob("journal-*.db"))[-_NEWEST:]
    logs = [path.with_name(path.name + suffix) for path in newest for suffix in ("-wal", "-shm")]
    state = sorted(edge.glob("state.db*"))
    return [path for path in [*newest, *logs, *state, edge / "journal" / "tally"] if path.exists()]


def _forget(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
