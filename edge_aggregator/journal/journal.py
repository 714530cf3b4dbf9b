"""The journal: every block of a gateway in rotating files, bounded by bytes and by age."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import apsw

from edge_aggregator.journal.block import Block, LostBlock, LostSpan, as_lost, numbered, to_row
from edge_aggregator.journal.content import Content, NewNames, pack_content
from edge_aggregator.journal.file import DAMAGE
from edge_aggregator.journal.folder import Extent, Folder
from edge_aggregator.journal.index import Gap
from edge_aggregator.journal.merger import Merge, Merger
from edge_aggregator.journal.seal import UNSEALED
from edge_aggregator.journal.seen import Seen
from edge_aggregator.journal.tally import Tally, Told, boot_number
from edge_aggregator.storage import StorageFailedError, fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from edge_aggregator.decode.decoded import Decoded
    from edge_aggregator.journal.block import Row
    from edge_aggregator.journal.eviction import Eviction
    from edge_aggregator.journal.file import JournalFile
    from edge_aggregator.journal.index import Index
    from edge_aggregator.journal.merge import Merging
    from edge_aggregator.journal.seal import Keyring
    from edge_aggregator.names import Names
    from edge_aggregator.storage import Storage

    Finder = Callable[[Index], list[int]]

_LOG = logging.getLogger(__name__)
MOST_SPANS = 32
_SLACK_BYTES = 16 * 1024
_FAR = (1 << 62) - 1


class Journal:
    """Blocks by position, 1, 2, 3, … for ever. Not for several threads at once.

    `append` raises StorageFailedError: then nothing more may be acknowledged. A file takes at most `file_bytes`, and
    arrivals of `file_ms`, so that what is too old can go. `last_position` and `received` tell of
    everything that was ever appended, what is lost included.
    """

    def __init__(
        self,
        path: Path,
        storage: Storage,
        *,
        file_bytes: int,
        file_ms: int = _FAR,
        ring: Keyring = UNSEALED,
        merging: Merging | None = None,
    ) -> None:
        self.folder, self._ring = Folder(path, storage, ring), ring
        self._file_bytes, self._file_ms = file_bytes, file_ms
        self._merger = Merger(self.folder, ring, merging) if merging else None
        self._tally = Tally(path, storage)
        self._lost: set[int] = set()
        self._seen = Seen()
        self.quarantined = 0
        """Blocks, or runs of them, found damaged since the start."""
        self.lost_spans: list[LostSpan] = []
        """The newest ones."""

    def configure(self, *, file_bytes: int) -> None:
        """Files of another size from now on."""
        self._file_bytes = file_bytes

    def open(self, processed: int, received: int, *, kept_from: int = 1) -> None:
        """Open the newest file only. The state knows blocks up to `processed`, and `received` samples with them.

        Blocks before `kept_from` have been evicted.
        """
        with fatal("opening the journal"):
            self.folder.remove_before(kept_from)
            self._check_keys()
            told, last = self._tally.told, self._newest()
            ends = (processed, told.position, self.folder.firsts[-1] - 1 if self.folder.firsts else 0, last[0])
            self.last_position, self.received = max(ends), max(received, told.received, last[1])
            if self._goes_on():
                first = self.folder.firsts[-1]
                self._current, self._index = self.folder.file(first), self.folder.index(first, first)
                if not len(self._index):
                    self._current.name_key(self._ring.newest)
            else:
                self._begin(self.last_position + 1)

    def append(self, decoded: Decoded, names: Names) -> int:
        """Write one block and sync it; its position. Raises StorageFailedError."""
        position = self.last_position + 1
        content = self._content(decoded, names)
        packed = pack_content(content)
        with fatal("writing to the journal"):
            if self._is_full(len(packed), decoded.notes.taken):
                self._begin(position)
                content = self._content(decoded, names)
                packed = pack_content(content)
            numbers = numbered(content, (position, position), self.received, self._ring.newest)
            self._current.append(to_row(packed, numbers, self._current.first, self._ring))
            self._index.add(numbers)
            self._seen.add([series for series, *_ in content.names.series], [d for d, _ in content.names.devices])
            self.last_position, self.received = position, self.received + numbers.received
            self._tally.tell(self._tally.told._replace(position=position, received=self.received))
        return position

    def read(self, first: int, last: int) -> Iterator[Block | LostBlock]:
        """The blocks from `first` to `last`, both included, in order; what is missing with the reason."""
        at = first
        for extent in self.folder.covering(first, last):
            for found in self._read(extent, lambda index: index.within(first, last)):
                if found.position > at:
                    yield self._missing(at, found.position - 1)
                yield found
                at = max(found.last, found.position) + 1
        if at <= last:
            yield self._missing(at, last)

    def overlapping(
        self, ranges: Iterable[tuple[int, int]], upto: int, *, since: int = 1
    ) -> Iterator[Block | LostBlock]:
        """The blocks with samples that may lie in one of the ranges [start, end), each once, and those that are missing.

        Blocks with positions from `since` to `upto`.
        """
        wanted = list(ranges)
        for extent in self.folder.covering(since, upto):
            index, first, last = self._index_of(extent), max(extent.first, since), min(extent.last, upto)
            gaps = [Gap(first, last)] if index is None else index.gaps(first, last)
            yield from (self._missing(*gap) for gap in gaps)
            yield from self._read(extent, lambda index: index.overlapping(wanted, since, upto))

    def merge(self, processed: int, now: int) -> None:
        """A little of what makes the journal dense, among blocks up to `processed`. Raises StorageFailedError."""
        if begun := self.begin_merge(processed, now):
            self.end_merge(begun, begun.packed())

    def begin_merge(self, processed: int, now: int) -> Merge | None:
        """The first part of a merge, if one is due: its `packed` may be called beside. Raises StorageFailedError."""
        with fatal("merging blocks of the journal"):
            return self._merger.begin(processed, now) if self._merger else None

    def end_merge(self, merge: Merge, packed: Row | list[LostBlock]) -> None:
        """The last part, which writes what was packed. Raises StorageFailedError."""
        with fatal("merging blocks of the journal"):
            assert self._merger is not None
            for lost in self._merger.end(merge, packed):
                self._tell(lost)

    def checkpointed(self, boot: str, seq: int, processed: int) -> None:
        """The state has been saved with this ledger entry and this block. Raises StorageFailedError."""
        with fatal("writing to the journal's tally"):
            state = {"boot": boot_number(boot), "seq": seq, "processed": processed}
            self._tally.tell(self._tally.told._replace(**state))

    def told(self) -> Told:
        """What journal and state had reached when they were written last."""
        return self._tally.told

    def remove(self, eviction: Eviction) -> None:
        """Unlink files, oldest first."""
        with fatal("removing old files of the journal"):
            for first in eviction.files:
                self.folder.remove(first)

    def close(self) -> None:
        """Close all files."""
        self._tally.close()
        self.folder.close()

    def _newest(self) -> tuple[int, int]:
        # Position and count with the newest block that is sound.
        index = self._index_of(Extent(self.folder.firsts[-1], _FAR)) if self.folder.firsts else None
        if not index:
            return (0, 0)
        numbers = index.at(-1)
        return (numbers.last, numbers.before + numbers.received)

    def _goes_on(self) -> bool:
        # A file has one key. One that has lost something takes nothing more: what else is wrong with it nobody knows.
        if not self.folder.firsts:
            return False
        extent = Extent(self.folder.firsts[-1], self.last_position)
        index = self._index_of(extent)
        if index is None or index.gaps(*extent):
            return False
        return not len(index) or index.at(-1).key == self._ring.newest

    def _check_keys(self) -> None:
        for key, name in self.folder.unknown_keys().items():
            raise StorageFailedError(
                f"{name} is sealed with journal key {key:08x}, which is not among the {self._ring.size()} configured: add "
                "it to journal_key_file (or journal_key_env) after the newest one, or move that file to another folder"
            )

    def _begin(self, position: int) -> None:
        self._current = self.folder.begin(position)
        self._index = self.folder.index(position, position)
        self._seen = Seen()

    def _is_full(self, size: int, taken: int) -> bool:
        if not len(self._index):
            return False
        old = taken - int(self._index.rows["taken"][0]) > self._file_ms
        return old or self._current.bytes() + size + _SLACK_BYTES > self._file_bytes

    def _content(self, decoded: Decoded, names: Names) -> Content:
        series = self._seen.new_series(decoded.samples.series)
        notes = decoded.notes
        devices = {message.device for message in notes.messages}.union(notes.heard, notes.rejected_of)
        devices |= set(names.columns["device"][series].tolist())
        return Content(*decoded, NewNames.of(self._seen.new_devices(devices), series, names))

    def _index_of(self, extent: Extent) -> Index | None:
        try:
            return self.folder.index(*extent)
        except DAMAGE as error:
            if extent.first not in self._lost:
                _LOG.error("journal file %s cannot be read: %s", self.folder.path_of(extent.first).name, error)
            return None

    def _read(self, extent: Extent, find: Finder) -> Iterator[Block | LostBlock]:
        index = self._index_of(extent)
        rows = find(index) if index else []
        if index is None or not rows:
            return
        wanted = [index.at(row) for row in rows]
        try:
            file = self.folder.file(extent.first)
        except DAMAGE as error:
            yield from (self._tell(as_lost(numbers, str(error))) for numbers in wanted)
            return
        for block in file.read(wanted):
            yield block if isinstance(block, Block) else self._tell(block, file)

    def _missing(self, first: int, last: int) -> LostBlock:
        return self._tell(LostBlock(first, "its row is missing or damaged", last=last))

    def _tell(self, lost: LostBlock, file: JournalFile | None = None) -> LostBlock:
        news = lost.position not in self._lost
        self._lost.add(lost.position)
        with contextlib.suppress(apsw.Error):  # a file that damaged need not take the note
            news = news and (file is None or file.quarantine(lost))
        if news:
            self.quarantined += 1
            span = LostSpan(lost.position, max(lost.position, lost.last), lost.reason, lost.received)
            self.lost_spans = [*self.lost_spans, span][-MOST_SPANS:]
            _LOG.warning("journal blocks %d to %d are quarantined: %s", lost.position, lost.last, lost.reason)
        return lost
