"""The journal: every block of a gateway in rotating files, bounded by bytes and by age."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import apsw

from edge_aggregator.journal.block import Block, LostBlock, to_row
from edge_aggregator.journal.folder import Folder
from edge_aggregator.storage import fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from edge_aggregator.decode.decoded import Decoded
    from edge_aggregator.journal.eviction import Eviction
    from edge_aggregator.journal.file import JournalFile
    from edge_aggregator.names import Names
    from edge_aggregator.storage import Storage

    Finder = Callable[[JournalFile], list[int]]

_LOG = logging.getLogger(__name__)
_SLACK_BYTES = 16 * 1024
_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError)


class Journal:
    """Blocks by position, 1, 2, 3, … for ever. Not for several threads at once.

    `append` raises StorageFailedError: then nothing more may be acknowledged.
    """

    def __init__(self, path: Path, storage: Storage, *, file_bytes: int) -> None:
        self.folder = Folder(path, storage)
        self._file_bytes = file_bytes
        self.quarantined = 0
        """Blocks found damaged since the start."""

    def open(self, names: Names, processed: int) -> None:
        """Open the newest file, and teach `names` what blocks after `processed` may use; older files stay closed."""
        with fatal("opening the journal"):
            since = (len(names.devices), len(names.series))
            self._current = self.folder.open_newest(processed + 1)
            last = self._current.last()
            self.last_position = max(processed, self.folder.firsts[-1] - 1, last[0] if last else 0)
            for file in self._files(processed + 1, self.last_position):
                if not isinstance(file, LostBlock):
                    file.define(names, since)
            self._current.define(names, since)

    def append(self, decoded: Decoded, names: Names) -> int:
        """Write one block and sync it; its position. Raises StorageFailedError."""
        position = self.last_position + 1
        row = to_row(position, decoded)
        with fatal("writing to the journal"):
            self._rotate(position, len(row.columns) + len(row.notes))
            self._current.append(row, decoded, names)
        self.last_position = position
        return position

    def read(self, first: int, last: int) -> Iterator[Block | LostBlock]:
        """The blocks from `first` to `last`, both included, in order; damaged ones with the reason."""
        for file in self._files(first, last):
            if isinstance(file, LostBlock):
                yield file
            else:
                yield from self._read(file, lambda file: file.positions(first, last))

    def overlapping(
        self, ranges: Iterable[tuple[int, int]], upto: int, *, since: int = 1
    ) -> Iterator[Block | LostBlock]:
        """The blocks from position `since` to `upto` with samples that may lie in one of the ranges [start, end), each once."""
        wanted = list(ranges)
        for file in self._files(since, upto):
            if isinstance(file, LostBlock):
                yield file
            else:
                yield from self._read(file, lambda file: _overlapping(file, wanted, since, upto))

    def remove(self, eviction: Eviction) -> None:
        """Unlink files, oldest first."""
        with fatal("removing old files of the journal"):
            for first in eviction.files:
                self.folder.remove(first)

    def close(self) -> None:
        """Close all files."""
        self.folder.close()

    def _rotate(self, position: int, size: int) -> None:
        full = self._current.bytes() + size + _SLACK_BYTES > self._file_bytes
        if full and position > self.folder.firsts[-1]:
            self._current = self.folder.begin(position)

    def _files(self, first: int, last: int) -> Iterator[JournalFile | LostBlock]:
        for begins in self.folder.covering(first, last):
            try:
                yield self.folder.file(begins)
            except _DAMAGE as error:
                self.quarantined += 1
                _LOG.warning("journal file %s cannot be read: %s", self.folder.path_of(begins).name, error)
                yield LostBlock(begins, str(error))

    def _read(self, file: JournalFile, find: Finder) -> Iterator[Block | LostBlock]:
        try:
            positions = find(file)
        except _DAMAGE as error:
            yield self._lost(file, LostBlock(self.folder.first_of(file), str(error)))
            return
        for block in file.read(positions):
            yield block if isinstance(block, Block) else self._lost(file, block)

    def _lost(self, file: JournalFile, lost: LostBlock) -> LostBlock:
        try:
            news = file.quarantine(lost)
        except apsw.Error:  # a file that damaged need not take the note
            news = True
        if news:
            self.quarantined += 1
            _LOG.warning("journal block %d is quarantined: %s", lost.position, lost.reason)
        return lost


def _overlapping(file: JournalFile, ranges: Sequence[tuple[int, int]], since: int, upto: int) -> list[int]:
    found = {position for start, end in ranges for position in file.overlapping(start, end)}
    return sorted(position for position in found if since <= position <= upto)
