"""How SQLite files are opened here, and what it means when one fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MS = 10_000


class StorageFailedError(RuntimeError):
    """A write or sync failed: nobody knows what is on the disk now, so the process ends and acknowledges nothing more.

    After a restart the files themselves say what was committed.
    """


class Storage:
    """Opens SQLite files in WAL mode with `synchronous=FULL`: a commit has been synced when it returns.

    `vfs` names another SQLite virtual file system, for tests of what disks may do.
    """

    def __init__(self, vfs: str | None = None) -> None:
        self._vfs = vfs

    def open(self, path: Path, schema: str) -> apsw.Connection:
        """A file with `schema` (CREATE … IF NOT EXISTS). Raises apsw.Error."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = apsw.Connection(str(path), vfs=self._vfs)
        try:
            db.set_busy_timeout(BUSY_MS)
            db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF")
            db.execute(schema)
        except apsw.Error:
            db.close()
            raise
        return db


@contextmanager
def fatal(what: str) -> Iterator[None]:
    """Turns an error of SQLite or the file system into StorageFailedError."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise StorageFailedError(f"{what} failed: {error}; free or replace the disk, then start again") from error
