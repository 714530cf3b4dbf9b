"""The merger: a little work after each flush, at a rate that leaves the gateway's one thread to what arrives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import apsw

from edge_aggregator.journal.block import Block, numbered, to_row
from edge_aggregator.journal.content import pack_content
from edge_aggregator.journal.merge import Merging, merged

if TYPE_CHECKING:
    from edge_aggregator.journal.block import LostBlock, Numbers, Row
    from edge_aggregator.journal.folder import Folder
    from edge_aggregator.journal.seal import Keyring

_LOG = logging.getLogger(__name__)
DAMAGED = (apsw.CorruptError, apsw.NotADBError)
RATE = 32_768
"""Samples merged a second, at the most."""


class Merge(NamedTuple):
    """A run of blocks of the file that begins with block `first`: their numbers, and what they hold."""

    first: int
    run: list[Numbers]
    blocks: list[Block]
    ring: Keyring

    def packed(self) -> Row:
        """The row that takes their place; what a merge costs is this, and it may be done in any thread."""
        content, begin, end = merged(self.blocks), self.run[0], self.run[-1]
        numbers = numbered(content, (begin.position, end.last), begin.before, begin.key)
        return to_row(pack_content(content, dense=True), numbers, self.first, self.ring)


class Merger:
    """Merges in the files that this process has open or has written; each merge is one transaction of its file."""

    def __init__(self, folder: Folder, ring: Keyring, merging: Merging) -> None:
        self._folder, self._ring, self._merging = folder, ring, merging
        self._done: set[int] = set()
        self._allowance, self._at = 0.0, 0

    def begin(self, processed: int, now: int) -> Merge | list[LostBlock]:
        """The next run, read, if there is one and its turn has come; else blocks that turned out to be damaged.

        Blocks up to position `processed` are in the state for good; `now` in ms. Raises apsw.Error.
        """
        since, self._at = max(0, now - self._at), now
        self._allowance = min(self._merging.samples, self._allowance + RATE * since / 1000)
        if self._allowance < self._merging.samples / 2:
            return []
        for first in self._folder.indexed():
            if first not in self._done and (found := self._begin_in(first, processed)) is not None:
                return found
        return []

    def end(self, merge: Merge, row: Row) -> None:
        """Put the row in the place of its blocks, unless they have gone or been found damaged since. Raises apsw.Error."""
        if merge.first not in self._folder.indexed():
            return
        index, numbers = self._folder.index(merge.first, merge.first), row.numbers
        rows = index.within(numbers.position, numbers.last)
        if [index.at(number) for number in rows] != merge.run or index.rows["spoilt"][rows].any():
            return
        try:
            self._folder.file(merge.first).replace(row)
        except DAMAGED as error:
            self._leave(merge.first, error)
            return
        index.replace(numbers)
        self._allowance -= numbers.samples

    def _begin_in(self, first: int, processed: int) -> Merge | list[LostBlock] | None:
        # None: there is nothing to be merged here.
        index = self._folder.index(first, first)
        newest = first == self._folder.firsts[-1]
        rows = self._merging.run(index, processed, ended=not newest)
        if not rows:
            if not newest and (not len(index) or index.at(-1).last <= processed):
                self._done.add(first)
            return None
        try:
            return self._read(first, rows)
        except DAMAGED as error:
            self._leave(first, error)
            return []

    def _read(self, first: int, rows: list[int]) -> Merge | list[LostBlock]:
        index = self._folder.index(first, first)
        run = [index.at(row) for row in rows]
        blocks = list(self._folder.file(first).read(run))
        sound = [block for block in blocks if isinstance(block, Block)]
        if len(sound) < len(blocks):
            index.spoil([row for row, block in zip(rows, blocks, strict=True) if not isinstance(block, Block)])
            return [block for block in blocks if not isinstance(block, Block)]
        return Merge(first, run, sound, self._ring)

    def _leave(self, first: int, error: apsw.Error) -> None:
        _LOG.warning("journal file %s stays as it is: %s", self._folder.path_of(first).name, error)
        self._done.add(first)
