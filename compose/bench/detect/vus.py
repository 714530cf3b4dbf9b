"""VUS-PR: the volume under the surface of precision and recall over thresholds and tolerances (Paparrizos et al., VLDB 2022).

A label's edges are softened by up to `window // 2` rows on both sides; precision and recall count softened labels, and
recall is multiplied by the share of events that were touched at all. Averaged over all windows from 0 to `window`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLDS = 250


def runs(labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and last row of each run of True, shape (runs, 2)."""
    edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0))
    spans: NDArray[np.int64] = edges.reshape(-1, 2) - np.array([0, 1])
    return spans


def vus_pr(labels: NDArray[np.bool_], scores: NDArray[np.float64], window: int) -> float:
    """The volume for rows of shape (rows,); at least one label must be True."""
    length, events = len(labels), runs(labels)
    ranks = np.linspace(0, length - 1, THRESHOLDS).astype(np.int64)
    thresholds = -np.sort(-scores)[ranks]
    # The first threshold that a row reaches; thresholds fall.
    first = np.searchsorted(-thresholds, -scores, side="left")
    reached = _Reached(first, _reached(first), _reached(first[labels]))
    areas = [_area(labels, events, reached, width) for width in range(window + 1)]
    return float(np.mean(areas))


class _Reached(NamedTuple):
    # `first`: the first threshold that each row reaches; how many rows reach each, and how many of those labelled.
    first: NDArray[np.int64]
    predicted: NDArray[np.float64]
    certain: NDArray[np.float64]


def _area(labels: NDArray[np.bool_], events: NDArray[np.int64], reached: _Reached, width: int) -> float:
    near, softened = _edges(labels, events, width)
    first = reached.first
    beside = _reached(first[near], softened)
    hit, positives = reached.certain + beside, float(labels.sum())
    touched = _reached(np.array([first[begin : end + 1].min() for begin, end in _merged(events, len(labels), width)]))
    recall = np.minimum(hit / (positives + beside / 2.0), 1.0) * touched / touched[-1]
    precision = hit / reached.predicted
    return float(np.diff(recall, prepend=0.0) @ precision)


def _reached(first: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """How much of the rows reaches each threshold, shape (THRESHOLDS,)."""
    counts = np.bincount(np.minimum(first, THRESHOLDS), weights, minlength=THRESHOLDS + 1)
    return np.cumsum(counts[:THRESHOLDS]).astype(np.float64)


def _edges(
    labels: NDArray[np.bool_], events: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    softened, reach = np.zeros(len(labels)), width // 2
    for begin, end in events:
        after = np.arange(end + 1, min(end + reach + 1, len(labels)))
        softened[after] += np.sqrt(1.0 - (after - end) / max(width, 1))
        before = np.arange(max(begin - reach, 0), begin)
        softened[before] += np.sqrt(1.0 - (begin - before) / max(width, 1))
    near = np.flatnonzero((softened > 0) & ~labels)
    return near, np.minimum(softened[near], 1.0)


def _merged(events: NDArray[np.int64], length: int, width: int) -> list[tuple[int, int]]:
    reach = width // 2
    begin, merged = max(int(events[0][0]) - reach, 0), []
    for (_, end), (following, _) in pairwise(events):
        if end + reach < following - reach:
            merged.append((begin, int(end) + reach))
            begin = int(following) - reach
    merged.append((begin, min(int(events[-1][1]) + reach, length - 1)))
    return merged
