"""How SQLite files are opened here, and what it means when one fails."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MS = 10_000
CHECKPOINT_PAGES = 1000


class StorageFailedError(RuntimeError):
    """A write or sync failed: nobody knows what is on the disk now, so the process ends and acknowledges nothing more.

    After a restart the files themselves say what was committed.
    """


class Storage:
    """Opens SQLite files in WAL mode with `synchronous=FULL`: a commit has been synced when it returns.

    Everything that changes a folder goes through here too. `vfs` names another SQLite virtual file system, for tests of
    what disks may do; `checkpoint_pages`, how many pages a write-ahead log holds before it is folded in.
    """

    def __init__(self, vfs: str | None = None, *, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        self._vfs, self._checkpoint_pages = vfs, checkpoint_pages

    def open(self, path: Path, schema: str) -> apsw.Connection:
        """A file with `schema` (CREATE … IF NOT EXISTS). Raises apsw.Error."""
        self.make_folder(path.parent)
        db = apsw.Connection(str(path), vfs=self._vfs)
        try:
            db.set_busy_timeout(BUSY_MS)
            db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF")
            db.wal_autocheckpoint(self._checkpoint_pages)
            db.execute(schema)
        except apsw.Error:
            db.close()
            raise
        return db

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it, durably. Raises OSError."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True, mode=0o700)
            self.sync_folder(folder.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there; durable after `sync_folder`. Raises OSError."""
        path.unlink(missing_ok=True)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name; durable after `sync_folder`. Raises OSError."""
        path.rename(target)

    def sync_folder(self, path: Path) -> None:
        """Make durable which files are in a folder. Raises OSError."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def fatal(what: str) -> Iterator[None]:
    """Turns an error of SQLite or the file system into StorageFailedError."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise StorageFailedError(f"{what} failed: {error}; free or replace the disk, then start again") from error
