"""Windows that close, or are shown before they end: as accumulated, or computed from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.by_device import by_device
from edge_aggregator.windows.details import asked_of, details
from edge_aggregator.windows.keys import Spans, window_keys
from edge_aggregator.windows.recompute import recompute
from edge_aggregator.windows.rollups import Fates, Rollups, Settled, joined, of_statistics
from edge_aggregator.windows.statistics import Kept
from edge_aggregator.windows.told import Shipped
from ingest.contract.reasons import SampleDrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.windows.past import Past
    from edge_aggregator.windows.recompute import Ground
    from edge_aggregator.windows.windows import Emerging


class _Found(NamedTuple):
    """Windows with their samples; of each, shape (windows,), how many were counted, found again, and are distinct."""

    rollups: Rollups
    kept: Kept
    device: NDArray[np.int64]
    stage: NDArray[np.int64]
    counted: NDArray[np.int64]
    taken: NDArray[np.int64]
    conflicts: int


def final(emerging: Emerging, ground: Ground, past: Past) -> Settled:
    """Windows that close."""
    found = _find(emerging, ground)
    keys, before, unsent = _before(found, past)
    there = (found.rollups.samples > 0) & ~unsent
    past.told.remove(keys)
    settled = _settled(found, before, there, ground.names, past, closes=True)
    # What was accumulated and is not in the journal any more can only be counted.
    nowhere = ~there & ~unsent
    gone = np.where(unsent, found.counted - before.counted, found.counted - before.lost() - before.distinct)
    gone[there] = 0
    dropped = {SampleDrop.OUTBOX_FULL.value: int(gone[unsent].sum())}
    corrupt = settled.dropped.get(SampleDrop.CORRUPT_BLOCK.value, 0) + int(gone[nowhere].sum())
    dropped[SampleDrop.CORRUPT_BLOCK.value] = corrupt
    more = Fates(by_device(found.device[nowhere], -before.duplicate[nowhere]), by_device(found.device, gone))
    return settled._replace(
        duplicate=settled.duplicate - int(before.duplicate[nowhere].sum()),
        dropped={reason: samples for reason, samples in dropped.items() if samples},
        fates=settled.fates.and_also(more),
    )


def partial(emerging: Emerging, ground: Ground, past: Past) -> Settled:
    """Windows that stay open: what they have so far is rolled up, the rest of them goes on."""
    found = _find(emerging, ground)
    keys, before, unsent = _before(found, past)
    there = (found.rollups.samples > 0) & ~unsent
    settled = _settled(found, before, there, ground.names, past, closes=False)
    distinct = found.rollups.samples
    now = Shipped(there, found.stage, found.counted, distinct, found.taken - distinct)
    past.told.put(keys[there], now.rows(there))
    return settled


def _find(emerging: Emerging, ground: Ground) -> _Found:
    rows, dirty = emerging.rows, emerging.rows["dirty"]
    order = np.concatenate([np.flatnonzero(~dirty), np.flatnonzero(dirty)])
    clean = _accumulated({name: rows[name][~dirty] for name in rows})
    spans = Spans(rows["series"][dirty], rows["start"][dirty], rows["width"][dirty])
    again = recompute(spans, ground).now
    zeros = np.zeros(len(spans.series), np.int64)
    size = len(clean.series)
    kept = _chained(emerging.kept.of(~dirty), again.kept, size) if ground.names.asking else emerging.kept
    return _Found(
        joined([clean, of_statistics(spans, again, zeros, again.distinct)]),
        kept,
        ground.names.columns["device"][rows["series"][order]].astype(np.int64),
        emerging.stage[order],
        rows["count"][order],
        np.concatenate([clean.samples, again.taken]),
        int(again.conflicts.sum()),
    )


def _before(found: _Found, past: Past) -> tuple[NDArray[np.uint64], Shipped, NDArray[np.bool_]]:
    # What the outbox dropped of a window was counted: the rest of it would bring those samples back.
    rollups = found.rollups
    keys = window_keys(rollups.series, rollups.start)
    before = past.told.of(keys)
    return keys, before, before.shipped & (rollups.start + rollups.width <= past.lost_until[found.device])


def _settled(
    found: _Found, before: Shipped, there: NDArray[np.bool_], names: Names, past: Past, *, closes: bool
) -> Settled:
    revision = np.zeros(len(there), np.int64)
    again = before.shipped & there
    if again.any():
        revision[again] = past.revisions(Spans(*(column[again] for column in found.rollups.columns()[:3]))) + 1
    distinct = found.rollups.samples
    rollups = found.rollups._replace(revision=revision, net=distinct - before.distinct).rows(there)
    if names.asking:
        rollups = _with_details(rollups, found.kept.of(there), names, past, closes=closes)
    device, lost = found.device[there], (found.counted - found.taken - before.lost())[there]
    duplicate = (found.taken - distinct - before.duplicate)[there]
    return Settled(
        rollups,
        int(duplicate.sum()),
        {SampleDrop.CORRUPT_BLOCK.value: int(lost.sum())} if lost.any() else {},
        conflicts=found.conflicts if closes else 0,
        fates=Fates(by_device(device, duplicate), by_device(device, lost)),
    )


def _accumulated(rows: dict[str, NDArray[Any]]) -> Rollups:
    columns: list[Any] = [
        rows[name] for name in ("series", "start", "width", "count", "sum", "sumsq", "min", "max", "last")
    ]
    columns += [np.zeros(len(rows["count"]), np.int64), rows["count"]]
    return Rollups(*columns)


def _chained(one: Kept, other: Kept, windows: int) -> Kept:
    return Kept(
        np.concatenate([one.window, other.window + windows]),
        np.concatenate([one.ts, other.ts]),
        np.concatenate([one.value, other.value]),
    )


def _with_details(rollups: Rollups, kept: Kept, names: Names, past: Past, *, closes: bool) -> Rollups:
    asked = asked_of(names, rollups.series)
    which = np.flatnonzero(asked.aspect)
    order = which[np.lexsort((rollups.start[which], rollups.series[which]))]
    place = np.full(len(rollups.series), -1, np.int64)
    place[order] = np.arange(len(order))
    kept, asked, series = kept.ordered(place), asked.rows(order), rollups.series[order]
    linked = kept.only(asked.linked()[kept.window])
    before = past.tails.before(series, linked) if closes else past.tails.peek(series)
    return rollups._replace(details=details(kept, asked, before).moved(order))
