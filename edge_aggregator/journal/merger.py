"""The merger: a little work after each flush, at a rate that leaves the gateway's one thread to what arrives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import apsw

from edge_aggregator.journal.block import Block, LostBlock, Row, numbered, open_row, to_row
from edge_aggregator.journal.content import pack_content
from edge_aggregator.journal.merge import Merging, merged

if TYPE_CHECKING:
    from edge_aggregator.journal.block import Numbers
    from edge_aggregator.journal.folder import Folder
    from edge_aggregator.journal.seal import Keyring

_LOG = logging.getLogger(__name__)
DAMAGED = (apsw.CorruptError, apsw.NotADBError)
RATE = 32_768
"""Samples merged a second, at the most."""


class Merge(NamedTuple):
    """A run of blocks of the file that begins with block `first`: their numbers, and each as it was written."""

    first: int
    run: list[Numbers]
    sealed: list[bytes | LostBlock]
    ring: Keyring

    def packed(self) -> Row | list[LostBlock]:
        """The row that takes their place, or those that turned out to be damaged.

        What a merge costs is this, and it may be done in any thread.
        """
        blocks = [self._opened(*one) for one in zip(self.run, self.sealed, strict=True)]
        lost = [block for block in blocks if isinstance(block, LostBlock)]
        if lost:
            return lost
        content, begin, end = merged([block for block in blocks if isinstance(block, Block)]), self.run[0], self.run[-1]
        blocks.clear()
        numbers = numbered(content, (begin.position, end.last), begin.before, begin.key)
        return to_row(pack_content(content, dense=True), numbers, self.first, self.ring)

    def _opened(self, numbers: Numbers, sealed: bytes | LostBlock) -> Block | LostBlock:
        return open_row(numbers, sealed, self.first, self.ring) if isinstance(sealed, bytes) else sealed


class Merger:
    """Merges in the files that this process has open or has written; each merge is one transaction of its file."""

    def __init__(self, folder: Folder, ring: Keyring, merging: Merging) -> None:
        self._folder, self._ring, self._merging = folder, ring, merging
        self._done: set[int] = set()
        self._allowance, self._at = 0.0, 0

    def begin(self, processed: int, now: int) -> Merge | None:
        """The next run, read, if there is one and its turn has come.

        Blocks up to position `processed` are in the state for good; `now` in ms. Raises apsw.Error.
        """
        since, self._at = max(0, now - self._at), now
        self._allowance = min(self._merging.samples, self._allowance + RATE * since / 1000)
        if self._allowance < self._merging.samples / 2:
            return None
        return next((found for first in self._unmerged() if (found := self._begin_in(first, processed))), None)

    def end(self, merge: Merge, packed: Row | list[LostBlock]) -> list[LostBlock]:
        """Put the row in the place of its blocks, unless they have gone or been found damaged since; who is damaged.

        Raises apsw.Error.
        """
        if merge.first not in self._folder.indexed():
            return []
        index = self._folder.index(merge.first, merge.first)
        rows = index.within(merge.run[0].position, merge.run[-1].last)
        if [index.at(number) for number in rows] != merge.run or index.rows["spoilt"][rows].any():
            return []
        if not isinstance(packed, Row):
            damaged = {lost.position for lost in packed}
            index.spoil([row for row in rows if index.at(row).position in damaged])
            return packed
        try:
            self._folder.file(merge.first).replace(packed)
        except DAMAGED as error:
            self._leave(merge.first, error)
            return []
        index.replace(packed.numbers)
        self._allowance -= packed.numbers.samples
        return []

    def _unmerged(self) -> list[int]:
        return [first for first in self._folder.indexed() if first not in self._done]

    def _begin_in(self, first: int, processed: int) -> Merge | None:
        # None: there is nothing to be merged here.
        index = self._folder.index(first, first)
        newest = first == self._folder.firsts[-1]
        rows = self._merging.run(index, processed, ended=not newest)
        if not rows:
            if not newest and (not len(index) or index.at(-1).last <= processed):
                self._done.add(first)
            return None
        run = [index.at(row) for row in rows]
        try:
            file = self._folder.file(first)
            return Merge(first, run, [file.sealed(numbers) for numbers in run], self._ring)
        except DAMAGED as error:
            self._leave(first, error)
            return None

    def _leave(self, first: int, error: apsw.Error) -> None:
        _LOG.warning("journal file %s stays as it is: %s", self._folder.path_of(first).name, error)
        self._done.add(first)
