"""The journal's folder: files named after their first block, of which only the newest and a few others are open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.journal.file import DAMAGE, JournalFile, key_of
from edge_aggregator.journal.seal import PLAIN

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.journal.index import Index
    from edge_aggregator.journal.seal import Keyring
    from edge_aggregator.storage import Storage

_NAME = re.compile(r"journal-(\d{16})\.db")
_MOST_OPEN = 4


class Extent(NamedTuple):
    """The first position of a file, and the last one that can be in it."""

    first: int
    last: int


class Folder:
    """`firsts`: the first position of every file, rising; a file ends where the next begins."""

    def __init__(self, path: Path, storage: Storage, ring: Keyring) -> None:
        self._path, self._storage, self._ring = path, storage, ring
        storage.make_folder(path)
        found = (_NAME.fullmatch(entry.name) for entry in path.iterdir())
        self.firsts = sorted(int(match[1]) for match in found if match)
        self._open: dict[int, JournalFile] = {}
        self._indexes: dict[int, Index] = {}
        self._sizes: dict[int, int] = {}

    def path_of(self, first: int) -> Path:
        """Where the file that begins with block `first` is."""
        return self._path / f"journal-{first:016d}.db"

    def begin(self, first: int) -> JournalFile:
        """A new file for block `first` and what follows."""
        if self.firsts:
            self._close(self.firsts[-1])
        self.firsts.append(first)
        file = self.file(first)
        file.name_key(self._ring.newest)
        self._storage.sync_folder(self._path)
        return file

    def file(self, first: int) -> JournalFile:
        """An open file. Raises apsw.Error."""
        if first not in self._open:
            older = [known for known in self._open if known != self.firsts[-1]]
            if len(older) >= _MOST_OPEN:
                self._close(older[0])
            self._open[first] = JournalFile(self.path_of(first), first, self._storage, self._ring)
        return self._open[first]

    def index(self, first: int, last: int) -> Index:
        """What is in a file that may hold positions up to `last`; read once, then kept. Raises apsw.Error."""
        if first not in self._indexes:
            self._indexes[first] = self.file(first).load_index(last)
        return self._indexes[first]

    def indexed(self) -> list[int]:
        """The files of which the index has been read, by first position, rising."""
        return sorted(self._indexes)

    def unknown_keys(self) -> dict[int, str]:
        """Keys that are needed and not here, with the name of a file that each has sealed. Raises apsw.Error, OSError."""
        # The newest file's head may be in its write-ahead log still.
        asked = [first for first in self.firsts[:-1] if not self._ring.has(key_of(self.path_of(first)))]
        found = {first: self._key_of_all(first) for first in [*asked, *self.firsts[-1:]]}
        return {key: self.path_of(first).name for first, key in found.items() if not self._ring.has(key)}

    def _key_of_all(self, first: int) -> int:
        # A head can be damaged, and a row: only what all of them say counts.
        try:
            file = self.file(first)
            return file.named_key() if file.keys() == {file.named_key()} else PLAIN
        except DAMAGE:
            return PLAIN

    def covering(self, first: int, last: int) -> list[Extent]:
        """The files that may hold blocks from `first` to `last`, with the positions that each may hold."""
        ends = [*(following - 1 for following in self.firsts[1:]), max(last, *self.firsts[-1:])]
        extents = map(Extent, self.firsts, ends)
        return [extent for extent in extents if extent.first <= last and extent.last >= first]

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
        self._indexes.pop(first, None)

    def remove_before(self, kept_from: int) -> None:
        """Unlink again what a power cut has brought back: of files that go together any may be there again."""
        for first in [first for first in self.firsts[:-1] if first < kept_from]:
            self.remove(first)

    def close(self) -> None:
        """Close all files."""
        for first in list(self._open):
            self._close(first)

    def _close(self, first: int) -> None:
        file = self._open.pop(first, None)
        if file:
            file.close()

    def _with_log(self, first: int) -> list[Path]:
        path = self.path_of(first)
        return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]
