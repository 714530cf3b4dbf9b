"""Resolution before coverage: the oldest batches that were never sent become fewer ones, with wider windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.outbox.cells import CELL_MS, bits_of, extent
from edge_aggregator.outbox.cells import WIDEST_MS as NEVER_COARSER_MS
from edge_aggregator.outbox.coarsen import Step, coarsen, unmerged
from edge_aggregator.outbox.outbox import COARSEST, Kind
from edge_aggregator.outbox.pile import both, newest_revisions, pile
from edge_aggregator.outbox.written import Written
from ingest.contract.batch_checks import SPANS_LIMIT
from ingest.contract.batch_wire import decode_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.ledger import Ledger
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.cells import Extent
    from edge_aggregator.outbox.coarsen import Coarsened
    from edge_aggregator.outbox.outbox import Row
    from edge_aggregator.outbox.pile import Pile
    from edge_aggregator.outbox.records import Records
    from edge_aggregator.outbox.rewrite import Rewriter
    from edge_aggregator.state import State
    from edge_aggregator.windows.windows import Windows
    from ingest.contract.batch import RollupBatch
    from ingest.contract.ledger import Spans

FACTORS = {1: 6, 2: 10}
"""How many times wider windows become on their way to a level."""

WIDEST_MS = {1: 60_000, 2: NEVER_COARSER_MS}
"""Windows wider than this stay as they are on that way."""

PATIENCE = 10
"""A second step is taken when what it would take is so many times as old as what the first would take."""

MOST_BYTES = 32 * 1024 * 1024
MOST_RECORDS = SPANS_LIMIT // 2
WORTH = 0.8
"""Windows are merged when they become this part of their number, or fewer."""

FAR = 4
"""Records that cover so many times the span at hand are left alone."""


class Place(NamedTuple):
    """Where a merged record goes: when the newest of its sources was made (ms), its age among others, its level."""

    created: int
    place: int
    level: int = 0


class Scene(NamedTuple):
    """Whose outbox is full, when (ms), and the flush's trace."""

    ledger: Ledger
    windows: Windows
    now: int
    trace: str


class Source(NamedTuple):
    """A record that is merged."""

    row: Row
    extent: Extent


class Degrader:
    """Merges records; every call within the caller's transaction."""

    def __init__(self, state: State, names: Names, rewriter: Rewriter, records: Records) -> None:
        self._outbox, self._cells, self._revisions, self._names = state.outbox, state.cells, state.revisions, names
        self._rewriter, self._records, self._written = rewriter, records, Written(names, state.revisions)

    def step(self, scene: Scene) -> bool:
        """Merge some of the oldest records; False when nothing can become coarser any more."""
        return any(self._step(level, scene) for level in self._turns(scene.now))

    def _step(self, level: int, scene: Scene) -> bool:
        oldest = self._outbox.oldest_of(level - 1)
        if oldest is None:
            return False
        if oldest.extent is None:
            self._pass_over(oldest.row, scene.ledger)
        elif (chosen := self._choose(oldest.row, oldest.extent, level)) is None:
            self._leave([Source(oldest.row, oldest.extent)], COARSEST)
        elif chosen[1].last > scene.windows.devices["horizon"].max(initial=-1):
            return (
                False  # time has not come to its end: what would be merged now could not be merged with the rest of it
            )
        else:
            self._merge(*chosen, level, scene)
        return True

    def _turns(self, now: int) -> tuple[int, ...]:
        # What is old becomes coarse in steps: so newer data keep their resolution longer than older ones.
        made = [self._outbox.oldest_of(level) for level in (0, 1)]
        fine, coarse = (now - found.row.created if found else 0 for found in made)
        return (2, 1) if coarse >= PATIENCE * max(fine, 1) else (1, 2)

    def _choose(self, row: Row, covered: Extent, level: int) -> tuple[list[Source], Step] | None:
        widths = self._widths(row, level)
        for length in self._lengths(widths, level):
            near, far = self._sources(covered.first, length, level)
            if near and len(near) <= MOST_RECORDS and sum(one.row.bytes for one in near) <= MOST_BYTES:
                # A record of the narrowest windows alone does not say what it must be merged with.
                found = widths.union(*(self._widths(one.row, level) for one in near if one.row != row))
                if found > widths and (wider := self._lengths(found, level)[0]) > length:
                    near, far = self._sources(covered.first, length := wider, level)
                # What reaches far beyond would have to be written again and again: it stays as it is.
                self._leave(far, COARSEST)
                first = covered.first // length * length
                return near, Step(first, first + length, FACTORS[level], WIDEST_MS[level])
        return None

    def _sources(self, covered: int, length: int, level: int) -> tuple[list[Source], list[Source]]:
        first = covered // length * length
        found = [Source(*one) for one in self._outbox.covering(first, first + length, level)]
        far = [one for one in found if one.extent.last - one.extent.first > FAR * length]
        return [one for one in found if one not in far], far

    def _widths(self, row: Row, level: int) -> set[int]:
        widths = np.unique(self._read(row).column("width").astype(np.int64))
        return set(widths[widths <= WIDEST_MS[level]].tolist())

    def _lengths(self, widths: Iterable[int], level: int) -> list[int]:
        # The span that takes the windows of all metrics, and one for the narrowest if that is too much at a time.
        wanted = [width * FACTORS[level] for width in sorted(widths)] or [FACTORS[level] * WIDEST_MS[level]]
        common = math.lcm(*wanted)
        longest = common if common <= FACTORS[level] * WIDEST_MS[level] else wanted[-1]
        return sorted({longest, wanted[0]}, reverse=True)

    def _pass_over(self, row: Row, ledger: Ledger) -> None:
        # Without rows it was only an account, of which there are newer ones; otherwise its windows are wide already.
        batch = self._read(row)
        if len(batch):
            self._outbox.raise_level(row, COARSEST)
        else:
            ledger.withdraw(batch.ledger)
            self._outbox.remove([row.id])

    def _leave(self, sources: Iterable[Source], level: int) -> None:
        for one in sources:
            self._cells.fix(one.extent.cells.items())
            self._outbox.raise_level(one.row, level)

    def _merge(self, sources: Sequence[Source], step: Step, level: int, scene: Scene) -> None:
        batches = [self._read(one.row) for one in sources]
        every = pile(batches, [self._written.nets(batch) for batch in batches])
        order, newest = newest_revisions(every)
        rows = _newest(every, order, newest)
        device = self._ids(rows)
        done = coarsen(rows, step, self._free(device, step, scene.windows))
        if done.coarse.size > WORTH * np.count_nonzero(done.taken) or not done.coarse.size:
            done = unmerged(done)
            if not _reaches_beyond(rows, done, step):
                self._leave(sources, level)
                return
        self._hand_on(every.rows(order[~newest]))
        self._mark(device, rows, done, step)
        kept, rest = (rows.rows(np.flatnonzero(mask)) for mask in (done.stayed, ~done.taken & ~done.stayed))
        carried = int(done.coarse.net.sum() + kept.net.sum() + rest.net.sum())
        replaces = scene.ledger.replace([batch.ledger for batch in batches], carried)
        self._outbox.remove([one.row.id for one in sources])
        # Rows beyond the span wait at the lower level for the turn of their own.
        place = Place(max(one.row.created for one in sources), max(one.row.place for one in sources))
        self._write(both(done.coarse, kept), replaces, place._replace(level=level), scene)
        self._write(rest, (), place._replace(level=level - 1), scene)

    def _write(self, rows: Pile, replaces: Spans, place: Place, scene: Scene) -> None:
        for batch, written in self._rewriter.write(rows, scene.ledger, scene.now, replaces):
            record = self._records.batch(batch, scene.now, scene.trace)
            start = written.columns["start"]
            covered = extent(self._ids(written), start, written.end - start)
            number = self._outbox.put(
                Kind.ROLLUPS, place.created, record, covered, level=place.level, place=place.place
            )
            self._revisions.moved(self._written.windows(written), number)

    def _free(self, device: NDArray[np.int64], step: Step, windows: Windows) -> NDArray[np.bool_]:
        # All windows of the device in this span have closed, and none of them may have been sent or must stay.
        fixed, closed = self._cells.fixed(step.first, step.last), windows.devices["horizon"] >= step.last
        known = [number for number in np.unique(device).tolist() if 0 <= number < len(closed)]
        free = {number for number in known if closed[number] and not fixed >> number & 1}
        return np.isin(device, list(free))

    def _mark(self, device: NDArray[np.int64], rows: Pile, done: Coarsened, step: Step) -> None:
        cells = range(step.first // CELL_MS, (step.last - 1) // CELL_MS + 1)
        for mark, which in ((self._cells.coarsen, done.taken), (self._cells.fix, done.stayed)):
            bits = bits_of(number for number in np.unique(device[which]).tolist() if number >= 0)
            mark([(cell, bits) for cell in cells])
        start, known = rows.columns["start"], done.stayed & (device >= 0)
        if stays := extent(device[known], start[known], (rows.end - start)[known]):
            self._cells.fix(stays.cells.items())

    def _hand_on(self, older: Pile) -> None:
        columns = (older.columns["revision"].tolist(), older.net.tolist())
        for window, revision, samples in zip(self._written.windows(older), *columns, strict=True):
            if window is not None:
                here = self._revisions.net(window, revision) if revision else samples
                self._revisions.hand_on(window, revision, here)
                self._revisions.drop(window, revision)

    def _read(self, row: Row) -> RollupBatch:
        return decode_batch(self._outbox.read(row).record.value or b"")

    def _ids(self, rows: Pile) -> NDArray[np.int64]:
        # The devices by id, -1 for one that has none.
        ids = [self._names.find_device(row.device) for row in rows.devices]
        numbers = np.array([-1 if number is None else number for number in ids], np.int64)
        found: NDArray[np.int64] = numbers[rows.columns["device"]]
        return found


def _reaches_beyond(rows: Pile, done: Coarsened, step: Step) -> bool:
    # Whether windows of later cells are in records that stay: those must not fix these cells, or nothing would ever merge.
    later = (rows.end - 1) // CELL_MS > (step.last - 1) // CELL_MS
    return bool((later & ~done.stayed).any())


def _newest(rows: Pile, order: NDArray[np.int64], newest: NDArray[np.bool_]) -> Pile:
    # Of several revisions of a window the newest is the whole window; it stands for the samples of the others.
    net = np.zeros(int(newest.sum()), np.int64)
    np.add.at(net, np.cumsum(newest) - newest, rows.net[order])
    return rows.rows(order[newest])._replace(net=net)
