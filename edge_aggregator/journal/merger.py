"""The merger: a little work after each flush, at a rate that leaves the gateway's one thread to what arrives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import apsw

from edge_aggregator.journal.block import Block, numbered, to_row
from edge_aggregator.journal.content import pack_content
from edge_aggregator.journal.merge import Merging, merged

if TYPE_CHECKING:
    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.journal.folder import Folder
    from edge_aggregator.journal.seal import Keyring

_LOG = logging.getLogger(__name__)
RATE = 65_536
"""Samples merged a second, at the most."""


class Merger:
    """Merges in the files that this process has open or has written; each merge is one transaction of its file."""

    def __init__(self, folder: Folder, ring: Keyring, merging: Merging) -> None:
        self._folder, self._ring, self._merging = folder, ring, merging
        self._done: set[int] = set()
        self._allowance, self._at = 0.0, 0

    def work(self, processed: int, now: int) -> list[LostBlock]:
        """Merge one run, if there is one and its turn has come; blocks that turned out to be damaged. Raises apsw.Error.

        Blocks up to position `processed` are in the state for good. `now` in ms.
        """
        since, self._at = max(0, now - self._at), now
        self._allowance = min(self._merging.samples, self._allowance + RATE * since / 1000)
        if self._allowance < self._merging.samples / 2:
            return []
        for first in self._folder.indexed():
            if first not in self._done and (lost := self._merge_in(first, processed)) is not None:
                return lost
        return []

    def _merge_in(self, first: int, processed: int) -> list[LostBlock] | None:
        # None: there is nothing to be merged here.
        index = self._folder.index(first, first)
        newest = first == self._folder.firsts[-1]
        rows = self._merging.run(index, processed, ended=not newest)
        if not rows:
            if not newest and (not len(index) or index.at(-1).last <= processed):
                self._done.add(first)
            return None
        try:
            return self._replace(first, rows)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            _LOG.warning("journal file %s stays as it is: %s", self._folder.path_of(first).name, error)
            self._done.add(first)
            return []

    def _replace(self, first: int, rows: list[int]) -> list[LostBlock]:
        file, index = self._folder.file(first), self._folder.index(first, first)
        blocks = list(file.read([index.at(row) for row in rows]))
        sound = [block for block in blocks if isinstance(block, Block)]
        if len(sound) < len(blocks):
            index.spoil([row for row, block in zip(rows, blocks, strict=True) if not isinstance(block, Block)])
            return [block for block in blocks if not isinstance(block, Block)]
        begin, end = index.at(rows[0]), index.at(rows[-1])
        content = merged(sound)
        numbers = numbered(content, (begin.position, end.last), begin.before, begin.key)
        file.replace(to_row(pack_content(content, dense=True), numbers, first, self._ring))
        index.replace(numbers)
        self._allowance -= numbers.samples
        return []
