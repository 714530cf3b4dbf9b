"""From closing windows to rollups: clean ones as accumulated, the others recomputed from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_aggregator.windows.corrections import corrections
from edge_aggregator.windows.details import asked_of, details
from edge_aggregator.windows.keys import Spans
from edge_aggregator.windows.past import Past
from edge_aggregator.windows.recompute import recompute
from edge_aggregator.windows.rollups import Rollups, Settled, joined, of_statistics
from edge_aggregator.windows.statistics import Kept
from ingest.contract.reasons import SampleDrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.windows.recompute import Ground
    from edge_aggregator.windows.statistics import Statistics
    from edge_aggregator.windows.tails import Tails
    from edge_aggregator.windows.windows import Closing

__all__ = ["Past", "settle"]


def settle(closing: Closing, ground: Ground, past: Past) -> Settled:
    """Everything that closes now."""
    # What closes now goes on from what came before it: corrections are first.
    parts = [corrections(closing, ground, past), _first_emissions(closing, ground, past.tails)]
    return Settled(
        joined([part.rollups for part in parts]).sorted(),
        sum(part.duplicate for part in parts),
        _added([part.dropped for part in parts]),
        _added([part.rejected for part in parts]),
        sum(part.conflicts for part in parts),
    )


def _first_emissions(closing: Closing, ground: Ground, tails: Tails) -> Settled:
    rows, dirty = closing.rows, closing.rows["dirty"]
    found = _again({name: rows[name][dirty] for name in rows}, ground)
    lost = int((rows["count"][dirty] - found.taken).sum())
    clean = _accumulated({name: rows[name][~dirty] for name in rows})
    spans = Spans(rows["series"][dirty], rows["start"][dirty], rows["width"][dirty])
    there = found.distinct > 0
    fresh = of_statistics(spans, found, np.zeros(len(there), np.int64), found.distinct).rows(there)
    rollups = joined([clean, fresh])
    if ground.names.asking:
        kept = _chained(closing.kept.of(~dirty), found.kept.of(there), len(clean.series))
        rollups = _with_details(rollups, kept, ground.names, tails)
    return Settled(
        rollups,
        int((found.taken - found.distinct).sum()),
        # What was accumulated and is not in the journal any more can only be counted.
        {SampleDrop.CORRUPT_BLOCK.value: lost} if lost else {},
        conflicts=int(found.conflicts.sum()),
    )


def _accumulated(rows: dict[str, NDArray[Any]]) -> Rollups:
    columns: list[Any] = [
        rows[name] for name in ("series", "start", "width", "count", "sum", "sumsq", "min", "max", "last")
    ]
    columns += [np.zeros(len(rows["count"]), np.int64), rows["count"]]
    return Rollups(*columns)


def _again(rows: dict[str, NDArray[Any]], ground: Ground) -> Statistics:
    return recompute(Spans(rows["series"], rows["start"], rows["width"]), ground).now


def _chained(one: Kept, other: Kept, windows: int) -> Kept:
    return Kept(
        np.concatenate([one.window, other.window + windows]),
        np.concatenate([one.ts, other.ts]),
        np.concatenate([one.value, other.value]),
    )


def _with_details(rollups: Rollups, kept: Kept, names: Names, tails: Tails) -> Rollups:
    asked = asked_of(names, rollups.series)
    which = np.flatnonzero(asked.aspect)
    order = which[np.lexsort((rollups.start[which], rollups.series[which]))]
    place = np.full(len(rollups.series), -1, np.int64)
    place[order] = np.arange(len(order))
    kept = kept.ordered(place)
    asked = asked.rows(order)
    before = tails.before(rollups.series[order], kept.only(asked.linked()[kept.window]))
    return rollups._replace(details=details(kept, asked, before).moved(order))


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    return {reason: sum(count.get(reason, 0) for count in counts) for count in counts for reason in count}
