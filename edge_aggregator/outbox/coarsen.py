"""Windows merged into wider ones: pure, and exact in a defined order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.outbox.pile import Pile
from ingest.contract.details import NO_DETAILS, Details
from ingest.contract.sketch import merged

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Span(NamedTuple):
    """The time [first, last) (ms)."""

    first: int
    last: int


class Coarsened(NamedTuple):
    """The wider windows; and of the rows given, shape (rows,), which are in them, and which stay as they are.

    The others wait for a turn of their own: they reach beyond the span, and become no wider now.
    """

    coarse: Pile
    taken: NDArray[np.bool_]
    stayed: NDArray[np.bool_]


def coarsen(rows: Pile, span: Span, goal: NDArray[np.int64], free: NDArray[np.bool_]) -> Coarsened:
    """Merge the windows of those series that are `free`, shape (rows,), and of which no window lies across an edge.

    Each window of a series may be there once. Wider windows are aligned to the epoch and as wide as the widest `goal` (ms,
    shape (rows,)) of the series within the span.
    """
    start, end = rows.columns["start"], rows.end
    touching = (start < span.last) & (end > span.first)
    inside = touching & (start >= span.first) & (end <= span.last)
    wanted = _widest_of_series(rows.series, np.where(inside, goal, 1))
    grows = touching & (goal > end - start)
    fits = inside & grows & (start // wanted == (end - 1) // wanted) & ((span.last - span.first) % wanted == 0)
    taken = touching & _all_of_series(rows.series, ~touching | (fits & free))
    coarse = _merged(rows, np.flatnonzero(taken), wanted)
    return Coarsened(coarse, taken, (grows | inside) & ~taken)


def _widest_of_series(series: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
    widest = np.ones(int(series.max(initial=0)) + 1, np.int64)
    np.maximum.at(widest, series, width)
    return widest[series]


def _all_of_series(series: NDArray[np.int64], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    everywhere = np.ones(int(series.max(initial=0)) + 1, np.bool_)
    everywhere[series[~holds]] = False
    return everywhere[series]


def _merged(rows: Pile, which: NDArray[np.int64], wanted: NDArray[np.int64]) -> Pile:
    which = which[np.lexsort((rows.columns["start"][which], rows.series[which]))]
    parts, wide = rows.rows(which), wanted[which]
    begin, series = parts.columns["start"] // wide * wide, parts.series
    edge = np.append(True, (series[1:] != series[:-1]) | (begin[1:] != begin[:-1]))[: parts.size]
    first, group = np.flatnonzero(edge), np.cumsum(edge) - 1
    columns = _combined(parts.columns, first, group) | {"start": begin[first], "width": wide[first]}
    net = np.zeros(len(first), np.int64)
    np.add.at(net, group, parts.net)
    return Pile(rows.devices, rows.metrics, columns, _details(parts, group, len(first)), net)


def _combined(parts: dict[str, NDArray[Any]], first: NDArray[np.int64], group: NDArray[np.int64]) -> dict[str, Any]:
    last = np.append(first[1:], len(group))[: len(first)] - 1
    columns = {name: parts[name][first] for name in ("device", "metric")}
    columns |= {name: np.zeros(len(first)) for name in ("sum", "sumsq")}
    for name in (
        "sum",
        "sumsq",
    ):  # from left to right, in the order of time: sums in another order have other last bits
        np.add.at(columns[name], group, parts[name])
    columns["count"] = np.zeros(len(first), np.int64)
    np.add.at(columns["count"], group, parts["count"])
    columns["min"] = np.minimum.reduceat(parts["min"], first) if len(first) else parts["min"]
    columns["max"] = np.maximum.reduceat(parts["max"], first) if len(first) else parts["max"]
    columns["last"] = parts["last"][last]
    columns["revision"] = np.zeros(len(first), np.int64)
    return columns


def _details(parts: Pile, group: NDArray[np.int64], groups: int) -> Details:
    # A wider window has a detail when all of its parts have it.
    details, size = parts.details, np.bincount(group, minlength=groups)
    if not details:
        return NO_DETAILS
    sketched, counted, stated = (_whole(group[rows], size) for rows in details.rows())
    (sketches, sketch_row), (counters, counter_row), (states, state_row) = sketched, counted, stated
    place = np.searchsorted(sketch_row, group[details.sketch_row[sketches]])
    increase, resets, changes = np.zeros(groups), np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    np.add.at(increase, group[details.counter_row[counters]], details.increase[counters])
    np.add.at(resets, group[details.counter_row[counters]], details.resets[counters])
    np.add.at(changes, group[details.state_row[states]], details.changes[states])
    return Details(
        sketch_row,
        merged(details.sketches.take(sketches), place, len(sketch_row)),
        counter_row,
        increase[counter_row],
        resets[counter_row],
        state_row,
        changes[state_row],
    )


def _whole(group: NDArray[np.int64], size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Which details belong to groups where every part has one, and these groups.
    there = np.bincount(group, minlength=len(size)) == size
    return np.flatnonzero(there[group]), np.flatnonzero(there)
