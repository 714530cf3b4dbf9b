"""The journal's folder: files named after their first block, of which only the newest and a few others are open."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import apsw

from edge_aggregator.journal.file import JournalFile

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.storage import Storage

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"journal-(\d{16})\.db")
_MOST_OPEN = 4


class Folder:
    """`firsts`: the first position of every file, rising; a file ends where the next begins."""

    def __init__(self, path: Path, storage: Storage) -> None:
        self._path, self._storage = path, storage
        storage.make_folder(path)
        found = (_NAME.fullmatch(entry.name) for entry in path.iterdir())
        self.firsts = sorted(int(match[1]) for match in found if match)
        self._open: dict[int, JournalFile] = {}
        self._sizes: dict[int, int] = {}

    def path_of(self, first: int) -> Path:
        """Where the file that begins with block `first` is."""
        return self._path / f"journal-{first:016d}.db"

    def open_newest(self, position: int) -> JournalFile:
        """The newest file; a new one that begins with block `position` when there is none or it is beyond reading."""
        while self.firsts:
            try:
                return self.file(self.firsts[-1])
            except (apsw.CorruptError, apsw.NotADBError) as error:
                position = max(position, self.firsts[-1])
                self._set_aside(self.firsts[-1], error)
        return self.begin(position)

    def begin(self, first: int) -> JournalFile:
        """A new file for block `first` and what follows."""
        if self.firsts:
            self._close(self.firsts[-1])
        self.firsts.append(first)
        file = self.file(first)
        self._storage.sync_folder(self._path)
        return file

    def file(self, first: int) -> JournalFile:
        """An open file. Raises apsw.Error."""
        if first not in self._open:
            older = [known for known in self._open if known != self.firsts[-1]]
            if len(older) >= _MOST_OPEN:
                self._close(older[0])
            self._open[first] = JournalFile(self.path_of(first), self._storage)
        return self._open[first]

    def first_of(self, file: JournalFile) -> int:
        """The first position of an open file."""
        return next(first for first, known in self._open.items() if known is file)

    def covering(self, first: int, last: int) -> list[int]:
        """The files that may hold blocks from `first` to `last`."""
        ends = [*(following - 1 for following in self.firsts[1:]), last]
        return [
            begins for begins, ends_at in zip(self.firsts, ends, strict=False) if begins <= last and ends_at >= first
        ]

    def bytes(self) -> int:
        """What all files take on the disk, write-ahead logs included."""
        return sum(self.size(first) for first in self.firsts)

    def size(self, first: int) -> int:
        """What one file takes on the disk; asked once of a file that is not written any more."""
        if first in self._sizes:
            return self._sizes[first]
        size = sum(path.stat().st_size for path in self._with_log(first) if path.exists())
        if first != self.firsts[-1] and first not in self._open:
            self._sizes[first] = size
        return size

    def remove(self, first: int) -> None:
        """Unlink a file."""
        self._close(first)
        for path in self._with_log(first):
            self._storage.unlink(path)
        self.firsts.remove(first)
        self._sizes.pop(first, None)

    def close(self) -> None:
        """Close all files."""
        for first in list(self._open):
            self._close(first)

    def _close(self, first: int) -> None:
        file = self._open.pop(first, None)
        if file:
            file.close()

    def _set_aside(self, first: int, error: apsw.Error) -> None:
        _LOG.error("journal file %s is beyond reading and was set aside: %s", self.path_of(first).name, error)
        for path in self._with_log(first):
            if path.exists():
                self._storage.rename(path, path.with_name(path.name + ".corrupt"))
        self.firsts.remove(first)

    def _with_log(self, first: int) -> list[Path]:
        path = self.path_of(first)
        return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]
