"""Resolution before coverage: the oldest batches that were never sent become fewer ones, with wider windows.

Windows may be merged when all windows of their series in the wider one are at hand. What was sent is `fixed` (see Cells);
whatever else covers the same time and waits at the level already, as it is, keeps its devices' windows back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.outbox.cells import CELL_MS, bits_of, extent
from edge_aggregator.outbox.coarsen import Span, coarsen
from edge_aggregator.outbox.levels import COARSEST, common_span, goals
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.pile import both, newest_revisions, pile
from edge_aggregator.outbox.written import Written
from ingest.contract.batch_wire import decode_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.ledger import Ledger
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.outbox import Covering, Row
    from edge_aggregator.outbox.pile import Pile
    from edge_aggregator.outbox.records import Records
    from edge_aggregator.outbox.rewrite import Rewriter
    from edge_aggregator.state import State
    from edge_aggregator.windows.windows import Windows
    from ingest.contract.batch import RollupBatch
    from ingest.contract.ledger import Spans

PATIENCE = 10
"""A second step is taken when what it would take is so many times as old as what the first would take."""

WORTH = 0.9
"""A step that leaves more than this part of the bytes was in vain: what is as sparse as that takes the second step at once."""

MOST_BYTES = 32 * 1024 * 1024
FAR = 4
"""Records that cover so many times the span at hand are cut in two first, or they would be written again and again."""


class Place(NamedTuple):
    """Where a record goes: when the newest of its sources was made (ms), its age among others, its level."""

    created: int
    place: int
    level: int = 0


class Scene(NamedTuple):
    """Whose outbox is full, when (ms), and the flush's trace."""

    ledger: Ledger
    windows: Windows
    now: int
    trace: str


class _Chosen(NamedTuple):
    """What is merged: all records below the level that cover some of the span. `others` cover some of it, too."""

    span: Span
    near: list[Covering]
    others: list[Covering]


class Degrader:
    """Merges records; every call within the caller's transaction."""

    def __init__(self, state: State, names: Names, rewriter: Rewriter, records: Records) -> None:
        self._outbox, self._cells, self._revisions, self._names = state.outbox, state.cells, state.revisions, names
        self._rewriter, self._records, self._written = rewriter, records, Written(names, state.revisions)
        self._in_vain = False
        self._read: dict[int, RollupBatch] = {}

    def step(self, scene: Scene) -> bool:
        """Merge some of the oldest records; False when nothing can become coarser any more."""
        self._read.clear()
        return any(self._step(level, scene) for level in self._turns(scene.now))

    def _step(self, level: int, scene: Scene) -> bool:
        oldest = self._outbox.oldest_of(level - 1)
        if oldest is None:
            return False
        lead = self._growing(oldest, level)
        if not len(lead):
            self._pass_over(oldest, level, scene.ledger)
            return True
        chosen = self._choose(lead, level)
        if chosen.span.last > scene.windows.devices["horizon"].max(initial=-1):
            # Time has not come to its end: what would be merged now could not be merged with the rest of it.
            return False
        if not any(self._cut(one, chosen.span, scene) for one in chosen.near):
            if sum(one.row.bytes for one in chosen.near) > MOST_BYTES or oldest not in (one.row for one in chosen.near):
                self._outbox.raise_level(oldest, level)  # too much at a time, or of a version that knew of no such step
            else:
                self._merge(chosen, level, scene)
        return True

    def _turns(self, now: int) -> tuple[int, ...]:
        # What is old becomes coarse in steps: so newer data keep their resolution longer than older ones.
        made = [self._outbox.oldest_of(level) for level in (0, 1)]
        fine, coarse = (now - found.created if found else 0 for found in made)
        return (2, 1) if self._in_vain or coarse >= PATIENCE * max(fine, 1) else (1, 2)

    def _growing(self, row: Row, level: int) -> NDArray[np.int64]:
        # Start and goal of the windows that become coarser, shape (windows, 2), the earliest first.
        batch = self._batch(row)
        start, width = batch.column("start"), batch.column("width").astype(np.int64)
        goal = goals(width, level)
        found = np.stack([start, goal], axis=1)[goal > width]
        return found[np.argsort(found[:, 0], kind="stable")]

    def _choose(self, lead: NDArray[np.int64], level: int) -> _Chosen:
        (start, own), wanted = lead[0].tolist(), set(lead[:, 1].tolist())
        chosen = self._covering(start, common_span(wanted, level) or own, level)
        # A record of the narrowest windows alone does not say what it must be merged with.
        for one in chosen.near:
            wanted.update(self._growing(one.row, level)[:, 1].tolist())
        common = common_span(wanted, level) or own
        return chosen if common == chosen.span.last - chosen.span.first else self._covering(start, common, level)

    def _covering(self, start: int, length: int, level: int) -> _Chosen:
        first = start // length * length
        found = self._outbox.covering(first, first + length)
        near, others = ([one for one in found if (one.level < level) is below] for below in (True, False))
        return _Chosen(Span(first, first + length), near, others)

    def _pass_over(self, row: Row, level: int, ledger: Ledger) -> None:
        # Without rows it was only an account, of which there are newer ones; otherwise its windows are wide already.
        batch = self._batch(row)
        if len(batch):
            self._outbox.raise_level(row, level)
        else:
            ledger.withdraw(batch.ledger)
            self._outbox.remove([row.id])

    def _cut(self, one: Covering, span: Span, scene: Scene) -> bool:
        # In the middle of its time: so each row is written again a few times at most, however far the record reaches.
        if one.extent.last - one.extent.first <= FAR * (span.last - span.first):
            return False
        batch = self._batch(one.row)
        rows = pile([batch], [self._written.nets(batch)])
        early = rows.columns["start"] < (one.extent.first + one.extent.last) // 2
        if early.all():
            return False
        replaces = scene.ledger.replace([batch.ledger], int(rows.net.sum()))
        self._outbox.remove([one.row.id])
        place = Place(one.row.created, one.row.place, one.level)
        self._write(rows.rows(np.flatnonzero(early)), replaces, place, scene)
        self._write(rows.rows(np.flatnonzero(~early)), (), place, scene)
        return True

    def _merge(self, chosen: _Chosen, level: int, scene: Scene) -> None:
        batches = [self._batch(one.row) for one in chosen.near]
        every = pile(batches, [self._written.nets(batch) for batch in batches])
        order, newest = newest_revisions(every)
        rows = _newest(every, order, newest)
        was = np.repeat([one.level for one in chosen.near], [len(batch) for batch in batches])[order[newest]]
        device = self._ids(rows)
        done = coarsen(
            rows, chosen.span, goals(rows.end - rows.columns["start"], level), self._free(device, chosen, scene.windows)
        )
        rest = ~done.taken & ~done.stayed
        if not rest.any() and (not done.coarse.size or (len(batches) == 1 and done.coarse.size == done.taken.sum())):
            self._raise(chosen.near, level)
            return
        self._hand_on(every.rows(order[~newest]))
        self._mark(device[done.taken], chosen.span, level)
        kept = rows.rows(np.flatnonzero(done.stayed))
        left = [rows.rows(np.flatnonzero(rest & (was == lower))) for lower in range(level)]
        carried = int(done.coarse.net.sum() + kept.net.sum() + sum(part.net.sum() for part in left))
        replaces = scene.ledger.replace([batch.ledger for batch in batches], carried)
        before = self._outbox.bytes
        self._outbox.remove([one.row.id for one in chosen.near])
        freed = before - self._outbox.bytes
        place = Place(max(one.row.created for one in chosen.near), max(one.row.place for one in chosen.near))
        self._write(both(done.coarse, kept), replaces, place._replace(level=level), scene)
        for lower, part in enumerate(left):  # of these the turn has not come
            self._write(part, (), place._replace(level=lower), scene)
        self._in_vain = self._outbox.bytes - (before - freed) > WORTH * freed

    def _raise(self, near: list[Covering], level: int) -> None:
        # Nothing to gain here: they stay as they are.
        for one in near:
            self._outbox.raise_level(one.row, level)
        self._in_vain = True

    def _write(self, rows: Pile, replaces: Spans, place: Place, scene: Scene) -> None:
        for batch, written in self._rewriter.write(rows, scene.ledger, scene.now, replaces):
            record = self._records.batch(batch, scene.now, scene.trace)
            start = written.columns["start"]
            covered = extent(self._ids(written), start, written.end - start)
            number = self._outbox.put(
                Kind.ROLLUPS, place.created, record, covered, level=place.level, place=place.place
            )
            if self._revisions.series():
                self._revisions.moved(self._written.windows(written), number)

    def _free(self, device: NDArray[np.int64], chosen: _Chosen, windows: Windows) -> NDArray[np.bool_]:
        # All windows of the device in this span have closed, none of them may have been sent, and all are at hand.
        (first, last), closed = chosen.span, windows.devices["horizon"] >= chosen.span.last
        back = self._cells.fixed(first, last)
        for one in chosen.others:
            for cell in range(first // CELL_MS, (last - 1) // CELL_MS + 1):
                back |= one.extent.cells.get(cell, 0)
        known = [number for number in np.unique(device).tolist() if 0 <= number < len(closed)]
        free = [number for number in known if closed[number] and not back >> number & 1]
        return np.isin(device, free)

    def _mark(self, device: NDArray[np.int64], span: Span, level: int) -> None:
        bits = bits_of(number for number in np.unique(device).tolist() if number >= 0)
        cells = [(cell, bits) for cell in range(span.first // CELL_MS, (span.last - 1) // CELL_MS + 1)]
        self._cells.coarsen(cells)
        if level == COARSEST:  # whole cells at a time: nothing more comes to them
            self._cells.fix(cells)

    def _hand_on(self, older: Pile) -> None:
        columns = (older.columns["revision"].tolist(), older.net.tolist())
        for window, revision, samples in zip(self._written.windows(older), *columns, strict=True):
            if window is not None:
                here = self._revisions.net(window, revision) if revision else samples
                self._revisions.hand_on(window, revision, here)
                self._revisions.drop(window, revision)

    def _batch(self, row: Row) -> RollupBatch:
        if row.id not in self._read:
            self._read[row.id] = decode_batch(self._outbox.read(row).record.value or b"")
        return self._read[row.id]

    def _ids(self, rows: Pile) -> NDArray[np.int64]:
        # The devices by id, -1 for one that has none.
        ids = [self._names.find_device(row.device) for row in rows.devices]
        numbers = np.array([-1 if number is None else number for number in ids], np.int64)
        found: NDArray[np.int64] = numbers[rows.columns["device"]]
        return found


def _newest(rows: Pile, order: NDArray[np.int64], newest: NDArray[np.bool_]) -> Pile:
    # Of several revisions of a window the newest is the whole window; it stands for the samples of the others.
    net = np.zeros(int(newest.sum()), np.int64)
    np.add.at(net, np.cumsum(newest) - newest, rows.net[order])
    return rows.rows(order[newest])._replace(net=net)
