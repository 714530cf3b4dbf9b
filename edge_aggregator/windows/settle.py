"""From closing windows to rollups: clean ones as accumulated, the others recomputed from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.windows.keys import Spans
from edge_aggregator.windows.recompute import recompute
from edge_aggregator.windows.rollups import Rollups, Settled, joined
from ingest.contract.reasons import SampleDrop, SampleRejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_aggregator.windows.recompute import Ground
    from edge_aggregator.windows.statistics import Statistics
    from edge_aggregator.windows.windows import Closing, LateWindows

MOST_REVISIONS = 65_535


class Past(NamedTuple):
    """What was before this flush: the position it had reached, and what journal and outbox have forgotten (ms).

    `revisions(spans)` gives the highest revision emitted of each window, 0 without any.
    """

    position: int
    evicted_until: int
    lost_until: NDArray[np.int64]  # by device
    revisions: Callable[[Spans], NDArray[np.int64]]


def settle(closing: Closing, ground: Ground, past: Past) -> Settled:
    """Everything that closes now."""
    clean, dirty = _split(closing.rows)
    parts = [_clean(clean), _first_emissions(dirty, ground), _corrections(closing.late, ground, past)]
    return Settled(
        joined([part.rollups for part in parts]).sorted(),
        sum(part.duplicate for part in parts),
        _added([part.dropped for part in parts]),
        _added([part.rejected for part in parts]),
        sum(part.conflicts for part in parts),
    )


def _split(rows: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    dirty = rows["dirty"]
    return {name: rows[name][~dirty] for name in rows}, {name: rows[name][dirty] for name in rows}


def _clean(rows: dict[str, NDArray[Any]]) -> Settled:
    columns = [rows[name] for name in ("series", "start", "width", "count", "sum", "sumsq", "min", "max", "last")]
    columns += [np.zeros(len(rows["count"]), np.int64), rows["count"]]
    return Settled(Rollups(*columns))


def _first_emissions(rows: dict[str, NDArray[Any]], ground: Ground) -> Settled:
    spans = Spans(rows["series"], rows["start"], rows["width"])
    found = recompute(spans, ground).now
    # What was accumulated and is not in the journal any more can only be counted.
    lost = int((rows["count"] - found.taken).sum())
    rollups = _rollups(spans, found, np.zeros(len(spans.series), np.int64), found.distinct)
    return Settled(
        rollups.rows(found.distinct > 0),
        int((found.taken - found.distinct).sum()),
        {SampleDrop.CORRUPT_BLOCK.value: lost} if lost else {},
        conflicts=int(found.conflicts.sum()),
    )


def _corrections(late: LateWindows, ground: Ground, past: Past) -> Settled:
    evicted = late.spans.start <= past.evicted_until
    unsent = ~evicted & (late.spans.end <= past.lost_until[ground.names.columns["device"][late.spans.series]])
    spans, came = late.spans.only(~evicted & ~unsent), late.late[~evicted & ~unsent]
    then = recompute(spans, ground, since=past.position)
    changed = ~then.incomplete & ~then.now.same(then.before)
    revision = np.zeros(len(came), np.int64)
    # A window that nobody had opened yet begins with its first revision.
    corrects = changed & (then.before.distinct > 0)
    revision[corrects] = past.revisions(spans.only(corrects)) + 1
    endless = revision > MOST_REVISIONS
    able = ~then.incomplete & ~endless
    net = then.now.distinct - then.before.distinct
    losses = {
        SampleDrop.JOURNAL_EVICTED.value: int(late.late[evicted].sum()),
        SampleDrop.OUTBOX_FULL.value: int(late.late[unsent].sum()),
        SampleDrop.CORRUPT_BLOCK.value: int(came[then.incomplete].sum()),
    }
    return Settled(
        _rollups(spans, then.now, revision, net).rows(changed & able),
        int((came - net)[able].sum()),
        {reason: lost for reason, lost in losses.items() if lost},
        {SampleRejection.TOO_OLD.value: int(came[endless].sum())} if endless.any() else {},
        int((then.now.conflicts - then.before.conflicts)[able].sum()),
    )


def _rollups(spans: Spans, found: Statistics, revision: NDArray[np.int64], net: NDArray[np.int64]) -> Rollups:
    return Rollups(*spans, found.distinct, *found.numbers(), revision, net)


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    return {reason: sum(count.get(reason, 0) for count in counts) for count in counts for reason in count}
