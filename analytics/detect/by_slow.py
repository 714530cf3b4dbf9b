"""The detectors of the round that look at means of many windows: does the level drift, do values spread more?

All rows are moved on; only those that reach the lowest threshold of any pool, or are in an alarm of these detectors, are judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.calibrate import bins_of
from analytics.detect.merge import STRIDE, TERMS, Detector
from analytics.detectors import drift, unrest
from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.by_level import ByLevel, Seen
    from analytics.detect.pools import Pools
    from analytics.detect.round import Rows

BACK = np.float32(0.5)
"""A window is back at the slow level when it is not farther from it on the side of the drift, in scales."""


class BySlow(NamedTuple):
    """Of some `rows`, by number, ascending: the `bins` of surprise of one detector.

    `high`: more than half of what it takes; `hits`: a pool speaks, and its threshold is reached; `holds`: an alarm of this
    detector goes on.
    """

    detector: Detector
    rows: NDArray[np.int64]
    bins: NDArray[np.uint8]
    high: NDArray[np.bool_]
    hits: NDArray[np.bool_]
    holds: NDArray[np.bool_]


def alarm_of(detector: Detector) -> int:
    """What `alarm` holds of a series whose alarm this detector has begun alone; 1 stands for all others."""
    return 1 + int(detector)


def look(state: State, pools: Pools, rows: Rows, seen: Seen, level: ByLevel) -> tuple[BySlow, BySlow]:
    """Move the means on by a window, pool them, and judge: drift and unrest."""
    known, on = state["slow_seen"], where(state["alarm"])
    weight = drift.slow_weight(known)
    weight[on] = 0.0
    slow = drift.Slow(state["slow_level"], state["slow_scale"], state["lean"])
    away = drift.advance(slow, drift.Window(seen.near, seen.least, level.judgement.wider), known, weight)
    drifts = drift.surprise(slow.lean)
    unrests = unrest.advance(
        unrest.Unrest(state["unrest"], state["usual_unrest"], state["unrest_spread"]), level.bins, weight
    )
    if known.min() < TERMS[Detector.DRIFT].windows:
        is_old = known >= TERMS[Detector.DRIFT].windows
        drifts *= is_old
        unrests *= is_old
    drifting = _judge(state, pools, Detector.DRIFT, drifts)
    out = away[drifting.rows] * np.sign(slow.lean[drifting.rows]) > BACK
    drifting, unquiet = drifting._replace(holds=drifting.holds & out), _judge(state, pools, Detector.UNREST, unrests)
    # Means hardly differ from one window to the next: one in `STRIDE` is pooled, of other series in each window.
    first = int(rows.end[0] // rows.width[0]) % STRIDE
    some = np.arange(first, len(known), STRIDE)
    counts = (known[some] >= TERMS[Detector.DRIFT].windows) & (state["alarm"][some] == 0)
    counts[seen.idle[seen.idle % STRIDE == first] // STRIDE] = False
    some = some[counts]
    for found, surprises in ((drifting, drifts), (unquiet, unrests)):
        _pool(state, pools, found, some, surprises)
    learned = np.minimum(known, np.uint16(drift.SEEN_MOST - 1)) + np.uint16(1)
    learned[on] = known[on]
    known[:] = learned
    return drifting, unquiet


def forget(state: State, rows: NDArray[Any]) -> None:
    """What an alarm has left behind in the means of these rows is no beginning of another."""
    state["lean"][rows] = 0.0
    state["unrest"][rows] = state["usual_unrest"][rows]


def _judge(state: State, pools: Pools, detector: Detector, surprises: NDArray[np.float32]) -> BySlow:
    is_high = np.zeros(len(surprises), np.bool_)
    is_high[pools.high(detector, state["cohort"], surprises)] = True
    rows = where(is_high | (state[_PEAK[detector]] > 0))
    found, bins = pools.thresholds(detector, state["cohort"][rows]), bins_of(surprises[rows])
    high = is_high[rows]
    holds = high & (state["alarm"][rows] == alarm_of(detector))
    return BySlow(detector, rows, bins, high, found.pooled & (bins >= found.enter), holds)


_PEAK = {Detector.DRIFT: "drift_peak", Detector.UNREST: "unrest_peak"}


def _pool(state: State, pools: Pools, found: BySlow, some: NDArray[np.int64], surprises: NDArray[np.float32]) -> None:
    # What is high for like series, but no alarm, counts once, by its peak, when it is over: were it pooled as it comes, a
    # drift would raise the threshold before it reaches it. What becomes an alarm is no part of the normal.
    peak = state[_PEAK[found.detector]]
    calm = state["alarm"][found.rows] == 0
    over = found.rows[calm & ~found.high & (peak[found.rows] > 0)]
    if over.size:
        pools.add_rare(found.detector, state["cohort"][over], peak[over])
    peak[found.rows] = np.where(calm & found.high, np.maximum(peak[found.rows], found.bins), np.uint8(0))
    ordinary = some[peak[some] == 0]
    if ordinary.size:
        pools.add(found.detector, pools.members(state["cohort"][ordinary]), bins_of(surprises[ordinary]))
