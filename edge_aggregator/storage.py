"""How SQLite files are opened here, and what it means when one fails."""

from __future__ import annotations

import functools
import os
import zlib
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import apsw
import apsw.sqlite_extra
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_MS = 10_000
CHECKPOINT_PAGES = 1000
_CHECKSUM_BYTES = 8


class StorageFailedError(RuntimeError):
    """A write or sync failed: nobody knows what is on the disk now, so the process ends and acknowledges nothing more.

    After a restart the files themselves say what was committed.
    """


class Storage:
    """Opens SQLite files in WAL mode with `synchronous=FULL`: a commit has been synced when it returns.

    Everything that changes a folder goes through here too. `vfs` names another SQLite virtual file system, for tests of
    what disks may do (then there are no page checksums); `checkpoint_pages`, how many pages a write-ahead log holds
    before it is folded in.
    """

    def __init__(self, vfs: str | None = None, *, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        self._vfs, self._checkpoint_pages = vfs, checkpoint_pages

    def open(self, path: Path, schema: str, *, checksums: bool = False) -> apsw.Connection:
        """A file with `schema` (CREATE … IF NOT EXISTS). Raises apsw.Error.

        With `checksums`, every page of a file that is made now has a checksum (SQLite's cksumvfs), and one that does not
        match is an apsw.IOError when it is read, never data. Such a file must not be written without them.
        """
        self.make_folder(path.parent)
        db = apsw.Connection(str(path), vfs=self._vfs or (_checksum_vfs() if checksums else None))
        try:
            db.set_busy_timeout(BUSY_MS)
            if checksums and not self._vfs:
                db.reserve_bytes(None, _CHECKSUM_BYTES)
            # One at a time: a statement that gives a row would keep those after it from being run.
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "full")
            db.wal_autocheckpoint(self._checkpoint_pages)
            db.execute(schema)
            if checksums and not self._vfs:
                _check_length(db, path)
        except apsw.Error:
            db.close()
            raise
        return db

    def open_small(self, path: Path, size: int) -> SmallFile:
        """A file of `size` bytes that is written in place. Raises apsw.Error."""
        self.make_folder(path.parent)
        return SmallFile(self._vfs or "", path, size)

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


class SmallFile:
    """A file of fixed size on the same file system as the others, whose writes are not synced. Raises apsw.Error."""

    def __init__(self, vfs: str, path: Path, size: int) -> None:
        flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE
        self._file = apsw.VFSFile(vfs, str(path.absolute()), [flags, 0])
        found = self._file.xFileSize()
        if found < size:
            self._file.xWrite(bytes(size - found), found)
        self._size = size

    def read(self) -> bytes:
        """All of it."""
        return self._file.xRead(self._size, 0)

    def write(self, at: int, data: bytes) -> None:
        """Overwrite some of it."""
        self._file.xWrite(data, at)

    def close(self) -> None:
        """Close the file."""
        self._file.xClose()


@functools.cache
def _checksum_vfs() -> str:
    # Loading the extension makes it the default for every file of the process: that is taken back.
    default = apsw.vfs_names()[0]
    with closing(apsw.Connection(":memory:")) as db:
        apsw.sqlite_extra.load(db, "cksumvfs")
    apsw.set_default_vfs(default)
    return "cksmvfs"


def _check_length(db: apsw.Connection, path: Path) -> None:
    # SQLite reads pages beyond the end of a file as zeros, and zeros have a checksum of zero.
    _, log, folded = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone() or (1, 1, 0)
    expected = int(db.pragma("page_count")) * int(db.pragma("page_size"))
    if log == folded and path.stat().st_size < expected:
        raise apsw.CorruptError(f"{path.name} has {path.stat().st_size} bytes, expected {expected}")


def with_sum(data: bytes) -> bytes:
    """Data with a checksum of its own in front: zeroed pages pass for sound ones otherwise."""
    return zlib.crc32(data).to_bytes(4, "little") + data


def without_sum(data: bytes) -> bytes:
    """Data of `with_sum`. Raises apsw.CorruptError."""
    if zlib.crc32(data[4:]).to_bytes(4, "little") != data[:4]:
        raise apsw.CorruptError("the checksum of a value does not match")
    return data[4:]


def is_damage(error: BaseException) -> bool:
    """Whether what is on the disk is not what was written, and trying again cannot help."""
    checksum = getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_DATA
    damaged = checksum or isinstance(error, (apsw.CorruptError, apsw.NotADBError, msgspec.DecodeError))
    # SQLite rolls back by itself then, and what is raised in the end is that there is nothing to roll back.
    return damaged or (error.__context__ is not None and is_damage(error.__context__))


@contextmanager
def fatal(what: str, if_damaged: str = "restore the file from a copy") -> Iterator[None]:
    """Turns an error of SQLite or the file system into StorageFailedError, with what to do."""
    try:
        yield
    except (apsw.Error, OSError, msgspec.DecodeError) as error:
        todo = if_damaged if is_damage(error) else "free or replace the disk, then start again"
        raise StorageFailedError(f"{what} failed: {error}; {todo}") from error
