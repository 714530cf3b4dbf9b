"""Calibration: what share of like windows was ever this surprising, beyond what was seen too.

A surprise is a residual on a scale where normal, Student and power-law tails all fall off about exponentially (see
`detectors/level.py`), as chi-squared with one degree of freedom for normal noise. Surprises of like series (one cohort:
same tenant, metric, hardware and window width) are counted in a logarithmic histogram of fixed size; the tail beyond a
high quantile is a generalised Pareto distribution (Pickands 1975) fitted by probability-weighted moments (Hosking and
Wallis 1987). Few points make it cautious: its mean excess is taken at its upper confidence limit, its shape is held
towards exponential, and it is never taken as lighter than normal noise would have it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 255

_OFFSET_VALUE = 4.0
_SHIFT = 19  # keeps the exponent and four bits of the fraction of a float32: 16 bins an octave
_OFFSET = int(np.float32(_OFFSET_VALUE).view(np.int32)) >> _SHIFT
EDGES: NDArray[np.float64] = ((np.arange(BINS + 1, dtype=np.int32) + _OFFSET) << _SHIFT).view(np.float32).astype(
    np.float64
) - _OFFSET_VALUE
"""Lower edges of the bins, and the upper edge of the last: shape (BINS + 1,), unit: surprise."""
_CENTRES = (EDGES[:-1] + EDGES[1:]) / 2

LEAST_SLOPE = 1.25
"""The least mean excess that is believed: that of two of three windows of normal noise is 1 when they are independent."""
CAUTION = 3.0
"""The mean excess is taken this many of its standard errors higher than it was found."""
SHAPE_CAUTION = 1.3
"""The shape likewise."""
SHAPE_PRIOR = 500.0
"""Shape 0 counts as much as this many points."""
SHAPE_MOST = 0.5
TAIL_SHARE = 0.1
TAIL_ROOT = 4.0
"""The tail is the highest tenth, or this many square roots of all points if that is fewer."""


class Tail(NamedTuple):
    """P(Y > y) = share * (1 + shape * (y - start) / scale) ** (-1 / shape) for y ≥ start; exponential at shape 0."""

    start: float
    share: float
    scale: float
    shape: float


UNKNOWN_TAIL = Tail(start=2.7055, share=TAIL_SHARE, scale=2.0 * LEAST_SLOPE, shape=0.0)


def bins_of(surprises: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The histogram bin of each surprise (≥ 0), shape (rows,), uint8: a float32's own bits are a logarithmic scale."""
    bits = (surprises.astype(np.float32, copy=False) + np.float32(_OFFSET_VALUE)).view(np.int32)
    bits >>= _SHIFT
    bits -= _OFFSET
    bins: NDArray[np.uint8] = np.minimum(bits, BINS - 1, out=bits).astype(np.uint8)
    return bins


def fit_tail(counts: NDArray[Any]) -> Tail:
    """The tail of a histogram, counts of shape (BINS,)."""
    total = float(counts.sum())
    wanted = min(TAIL_SHARE * total, TAIL_ROOT * math.sqrt(total))
    beyond = np.cumsum(counts[::-1])[::-1]  # beyond[b]: points in bin b and above
    first = int(np.searchsorted(-beyond, -wanted))  # the lowest bin with no more than `wanted` points from it on
    if first >= BINS or beyond[first] == 0:
        return UNKNOWN_TAIL._replace(start=max(UNKNOWN_TAIL.start, _top(counts)))
    return _fit_excesses(float(EDGES[first]), counts[first:].astype(np.float64), _CENTRES[first:] - EDGES[first], total)


def _fit_excesses(start: float, counts: NDArray[np.float64], excesses: NDArray[np.float64], total: float) -> Tail:
    points = float(counts.sum())
    mean = float(counts @ excesses) / points
    middle_rank = (np.cumsum(counts) - counts / 2) / points
    weighted = float(counts @ (excesses * (1.0 - middle_rank))) / points
    found = 2.0 - mean / (mean - 2.0 * weighted) if mean > 2.0 * weighted else SHAPE_MOST
    shape = min(SHAPE_MOST, max(0.0, found + SHAPE_CAUTION / math.sqrt(points)) * points / (points + SHAPE_PRIOR))
    slope = max(LEAST_SLOPE, mean) * (1.0 + CAUTION / math.sqrt(points))
    return Tail(start=start, share=points / total, scale=slope * (1.0 - shape), shape=shape)


def _top(counts: NDArray[Any]) -> float:
    occupied = np.flatnonzero(counts)
    return float(EDGES[int(occupied[-1]) + 1]) if occupied.size else 0.0


def quantile(tail: Tail, probability: float) -> float:
    """The surprise that is exceeded with `probability` (at most the tail's share)."""
    ratio = max(1.0, tail.share / probability)
    if tail.shape == 0.0:
        return tail.start + tail.scale * math.log(ratio)
    return tail.start + tail.scale / tail.shape * (math.pow(ratio, tail.shape) - 1.0)


def exceedance(tail: Tail, surprise: float) -> float:
    """P(Y > surprise); for surprises below the tail's start, its share."""
    excess = max(0.0, surprise - tail.start)
    if tail.shape == 0.0:
        return tail.share * math.exp(-excess / tail.scale)
    return tail.share * math.pow(1.0 + tail.shape * excess / tail.scale, -1.0 / tail.shape)


def tail_rarity(tail: Tail, surprises: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the logarithm of `exceedance`, of each surprise: shape (rows,)."""
    excess = np.maximum(0.0, surprises - tail.start) / tail.scale
    beyond = excess if tail.shape == 0.0 else np.log1p(tail.shape * excess) / tail.shape
    rarity: NDArray[np.float64] = beyond - math.log(tail.share)
    return rarity


def own_probability(windows: int) -> float:
    """What a series that is alone can promise after so many windows: how often it exceeds all that it was (Rényi 1962)."""
    return 2.0 / (windows + 1)


def probability_per_test(false_alerts_per_1k_series_day: float, width_ms: int) -> float:
    """The user's one number as a tail probability for each window of `width_ms`.

    Alarms need several such windows, whatever their dependence: so this bounds the rate and does not aim at it.
    """
    tests_per_day = 86_400_000 / width_ms
    return min(TAIL_SHARE, false_alerts_per_1k_series_day / 1000 / tests_per_day)


def rate_of(probability: float, width_ms: int) -> float:
    """The false alerts per 1,000 series and day that alarms of such probability each window of `width_ms` may come to."""
    return probability * 1000.0 * 86_400_000 / width_ms
