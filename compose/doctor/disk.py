"""The disk that a process remembers on: whether it takes writes, how fast, and how much more."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from compose.doctor.finding import bad, good, warning

if TYPE_CHECKING:
    from pathlib import Path

    from compose.doctor.finding import Finding
    from ingest.runtime.clock import Clock

SLOW_FSYNC_MS = 50.0
FSYNCS = 20


def look_at_disk(folder: Path, clock: Clock) -> Finding:
    """Twenty small files are written, synced and removed; acknowledgements wait for such syncs."""
    folder = _existing(folder)
    try:
        slowest = max(_fsync_ms(folder, clock) for _ in range(FSYNCS))
    except OSError as error:
        return bad("disk", f"{folder}: {error.strerror}", "give data_dir a folder that the process may write to")
    found = f"the slowest of {FSYNCS} fsyncs in {folder} took {slowest:.1f} ms"
    if slowest > SLOW_FSYNC_MS:
        return warning("disk", f"{found}: acknowledgements wait for it", "put data_dir on better storage")
    return good("disk", found)


def look_at_room(folder: Path, needed: int, why: str) -> Finding:
    """Whether `needed` bytes are free where `folder` is, or will be."""
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 2**30:.1f} GiB free, {why} {needed / 2**30:.1f} GiB"
    if free < needed:
        return warning("room", found, "lower journal_bytes and outbox_bytes, or make room: a full disk stops it")
    return good("room", found)


def _existing(folder: Path) -> Path:
    # The doctor makes no folder: it may run as another user than the process.
    while not folder.exists():
        folder = folder.parent
    return folder


def _fsync_ms(folder: Path, clock: Clock) -> float:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(4096))
        file.flush()
        began = clock.monotonic()
        os.fsync(file.fileno())
        return (clock.monotonic() - began) * 1000
