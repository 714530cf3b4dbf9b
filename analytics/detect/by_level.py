"""The first detector of the round: is the value far from the series' level, two windows of three?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.calibrate import bins_of
from analytics.detect.merge import Detector
from analytics.detectors.alike import relative, shift
from analytics.detectors.hysteresis import CALM, middle_of_three
from analytics.detectors.level import UNCLIPPED, Judgement, Levels, distances, judge, learn, surprise
from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.pools import Members, Pools

POOLED_AGE = UNCLIPPED + 3
"""A series' windows are pooled from the time on when its last three were all judged by a scale."""
REMARKABLE = bins_of(np.array([8.0], np.float32))[0]
"""The bin of surprise from which a window is remarkable: two of three of normal noise reach it once in 15,000 windows."""


class ByLevel(NamedTuple):
    """Of each row, shape (rows,): `bins` of surprise, `middle` of the last three, and what follows for an alarm.

    `speaks`: whether there is a threshold; `hits`: it is reached; `hit_two_ago`, where it may be reached: it was, two windows
    ago; `calms`, in alarms: well below.
    """

    judgement: Judgement
    bins: NDArray[np.uint8]
    middle: NDArray[np.uint8]
    speaks: NDArray[np.bool_]
    hits: NDArray[np.bool_]
    hit_two_ago: NDArray[np.bool_]
    calms: NDArray[np.bool_]


class Seen(NamedTuple):
    """What was seen in a window, float32, shape (rows,): distance from the origin, samples, and the least scale.

    `idle`: the rows, by number, in which there is nothing to look at; what is judged of them is not pooled.
    """

    near: NDArray[np.float32]
    samples: NDArray[np.float32]
    least: NDArray[np.float32]
    idle: NDArray[np.int64]


def look(state: State, pools: Pools, members: Members, seen: Seen, min_windows: int) -> ByLevel:
    """Judge each row by what its series was."""
    judgement = judge(_levels(state), seen.near, seen.samples, seen.least)
    bins = bins_of(judgement.surprise)
    bins[state["seen"] < UNCLIPPED] = 0
    middle = middle_of_three(bins, state["bin_1"], state["bin_2"])
    cohorts, calms = state["cohort"], np.zeros(len(bins), np.bool_)
    speaks = (state["seen"] >= min_windows) & pools.speaks_for(Detector.LEVEL, members)
    # Few rows reach the lowest threshold of any pool: only these are held against their own.
    some, on = where(middle >= pools.least(Detector.LEVEL)), where(state["alarm"])
    enter, (hits, hit_two_ago) = pools.level(cohorts[some]).enter, np.zeros((2, len(bins)), np.bool_)
    hits[some] = speaks[some] & (middle[some] >= enter)
    hit_two_ago[some] = state["bin_2"][some] >= enter
    calms[on] = bins[on] < pools.level(cohorts[on]).calm
    return ByLevel(judgement, bins, middle, speaks, hits, hit_two_ago, calms)


def stands_alone(state: State, pools: Pools, seen: Seen, found: ByLevel, end: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The hits, without those of young pools that are not far from what the like rows of this block have in common."""
    hits = found.hits.copy()
    rows = where(hits & (state["alarm"] == 0))
    if not rows.size:
        return hits
    distance = distances(state["level"], seen.near, found.judgement.scale)
    for cohort in np.unique(state["cohort"][rows]):
        of_cohort = state["cohort"] == cohort
        mine = where(of_cohort & hits)
        if pools.young(int(cohort), int(end[mine[0]])):
            apart = np.abs(relative(distance[mine], shift(distance[of_cohort])))
            enter = pools.level(state["cohort"][mine]).enter
            hits[mine] &= bins_of(surprise(apart, state["seen"][mine])) >= enter
    return hits


def take(state: State, pools: Pools, members: Members, seen: Seen, found: ByLevel) -> None:
    """Learn and pool the rows that are neither in alarm nor idle, and remember their surprise."""
    levels, on = _levels(state), where(state["alarm"])
    saved = levels.of(on)
    learn(levels, seen.near, seen.samples, found.judgement)
    levels.put_back(on, saved)
    _pool(state, pools, members, found.middle, seen.idle)
    state["bin_2"][:] = state["bin_1"]
    state["bin_1"][:] = found.bins


def _levels(state: State) -> Levels:
    return Levels(*(state[name] for name in Levels._fields))


def _pool(state: State, pools: Pools, members: Members, middle: NDArray[np.uint8], idle: NDArray[np.int64]) -> None:
    # Ordinary windows are pooled as they come. A run of remarkable ones depends on itself and counts once, by its peak,
    # when it has calmed down; a run that became an alarm is no part of the normal.
    calm = state["alarm"] == 0
    remarkable = calm & (middle >= REMARKABLE)
    quiet = np.minimum(state["quiet"], CALM) + np.uint8(1)
    np.copyto(state["quiet"], quiet * ~remarkable, where=calm)
    over = where(calm & (state["peak"] > 0) & (state["quiet"] >= CALM))
    ordinary = calm & ~remarkable & (state["seen"] > POOLED_AGE)
    ordinary[idle] = False
    pools.add_those(Detector.LEVEL, members, middle, ordinary)
    if over.size:
        pools.add(Detector.LEVEL, pools.members(state["cohort"][over]), state["peak"][over])
    rises = where(remarkable)
    state["peak"][rises] = np.maximum(state["peak"][rises], middle[rises])
    state["peak"][over] = 0
    state["peak"][~calm] = 0
