"""One window of each of many series: begin anew where needed, observe, judge, decide, learn, remember."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.calibrate import EDGES, bins_of
from analytics.detectors.hysteresis import CALM, LEAVE_SHARE, advance, middle_of_three
from analytics.detectors.kinds import GAUGE, GROWING, Observations, is_growing, is_rated, observe
from analytics.detectors.level import UNCLIPPED, Judgement, Levels, judge, learn
from analytics.detectors.resolution import decimal_resolution, least_rate_scale, least_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.pools import Pools

POOLED_AGE = UNCLIPPED + 3
"""A series' windows are pooled from the time on when its last three were all judged by a scale."""
REMARKABLE = bins_of(np.array([8.0], np.float32))[0]
"""The bin of surprise from which a window is remarkable: two of three of normal noise reach it once in 15,000 windows."""
REBASELINE_WINDOWS = 60
"""No alarm is taken for the new normal before it has lasted so many windows."""

State = dict[str, "NDArray[Any]"]


class Rows(NamedTuple):
    """One window of each of distinct series, columns of shape (rows,); times in ms."""

    series: NDArray[np.int32]
    end: NDArray[np.int64]
    width: NDArray[np.int64]
    samples: NDArray[np.float64]
    mean: NDArray[np.float64]
    last: NDArray[np.float64]


class Rules(NamedTuple):
    """How long things take; times in ms."""

    min_windows: int
    continues_ms: int
    rebaseline_ms: int
    relearn_after_ms: int


class Change(IntEnum):
    """What a window meant for its series' alarm."""

    NOTHING = 0
    ENTERED = 1
    CONTINUES = 2
    CALMED = 3
    NEW_NORMAL = 4
    RELEARNED = 5


class Outcome(NamedTuple):
    """Of each row, shape (rows,): the change u1 and the numbers it rests on; `surprise` is that of two of three."""

    change: NDArray[np.uint8]
    value: NDArray[np.float64]
    expected: NDArray[np.float64]
    scale: NDArray[np.float64]
    surprise: NDArray[np.float64]
    judged: NDArray[np.bool_]
    pooled: NDArray[np.bool_]


def step(columns: State, pools: Pools, rows: Rows, rules: Rules) -> Outcome:
    """Take one window of each series into `columns` and `pools`, and say what changed."""
    state = {name: column[rows.series] for name, column in columns.items()}
    change = _begin_anew(state, rows, rules)
    elapsed = np.maximum(rows.end - state["last_end"], 1)
    seen = observe(state["kind"], rows.mean, rows.last, state["previous"], elapsed)
    judgement = judge(_levels(state), seen.values, rows.samples, _least(state, rows, elapsed))
    bins = np.where(seen.usable & (state["seen"] >= UNCLIPPED), bins_of(judgement.surprise), np.uint8(0))
    middle = middle_of_three(bins, state["bin_1"], state["bin_2"])
    threshold, pooled = pools.thresholds(state["cohort"], state["record"], state["seen"], state["alarm"])
    outcome = Outcome(
        change=change,
        value=seen.values,
        expected=state["level"],
        scale=judgement.scale,
        surprise=EDGES[middle],
        judged=seen.usable & (state["seen"] >= rules.min_windows) & np.isfinite(threshold),
        pooled=pooled,
    )
    calms = EDGES[bins.astype(np.int64) + 1] < LEAVE_SHARE * threshold
    _decide(
        state, rows, rules, outcome, _Tests(outcome.surprise >= threshold, calms, EDGES[state["bin_2"]] >= threshold)
    )
    _learn(state, rows, seen, judgement)
    _pool(state, pools, middle, seen.usable)
    _remember(state, rows, seen, bins, rules)
    for name, column in columns.items():
        column[rows.series] = state[name]
    return outcome


def _begin_anew(state: State, rows: Rows, rules: Rules) -> NDArray[np.uint8]:
    on = state["alarm"] != 0
    # Silent for long: what was normal then need not be so now. An alarm is not ended by silence.
    stale = ~on & (state["last_end"] > 0) & (rows.end - rows.width - state["last_end"] > rules.relearn_after_ms)
    # It was taken for something that only grows, and is not.
    fell = (state["kind"] == GROWING) & (rows.last < state["previous"])
    # The alarm has lasted so long that this is how it is now.
    patience = np.maximum(rules.rebaseline_ms, REBASELINE_WINDOWS * rows.width)
    lasting = on & (rows.end - state["since"] >= patience)
    _relearn(state, stale | fell | lasting)
    state["kind"][fell] = GAUGE
    return np.select([lasting, on & fell], [Change.NEW_NORMAL, Change.RELEARNED], Change.NOTHING).astype(np.uint8)


def _relearn(state: State, which: NDArray[np.bool_]) -> None:
    for name in ("seen", "rises", "falls", "bin_1", "bin_2", "record", "peak", "quiet", "calm", "alarm"):
        state[name][which] = 0


def _levels(state: State) -> Levels:
    return Levels(*(state[name] for name in Levels._fields))


def _least(state: State, rows: Rows, elapsed: NDArray[np.int64]) -> NDArray[np.float64]:
    least = least_scale(state["level"], state["resolution"])
    rated = np.flatnonzero(is_rated(state["kind"]))
    if rated.size:
        gap = rows.width[rated] / np.maximum(state["samples"][rated], 1.0)
        least[rated] = least_rate_scale(state["level"][rated], state["resolution"][rated], elapsed[rated], gap)
    return least


class _Tests(NamedTuple):
    exceeds: NDArray[np.bool_]
    calms: NDArray[np.bool_]
    exceeded_two_ago: NDArray[np.bool_]


def _decide(state: State, rows: Rows, rules: Rules, outcome: Outcome, tests: _Tests) -> None:
    judged = outcome.judged
    changes = advance(state["alarm"], state["calm"], judged & tests.exceeds, judged & tests.calms)
    state["calm"] = np.where(judged, changes.calm, state["calm"])
    state["alarm"] = changes.alarm
    began = rows.end - rows.width * np.where(tests.exceeded_two_ago, 2, 1)
    state["since"] = np.where(changes.entered, began, state["since"])
    reported = judged & (changes.alarm != 0) & ~changes.entered & (rows.end - state["told"] >= rules.continues_ms)
    state["told"] = np.where(changes.entered | reported, rows.end, state["told"])
    outcome.change[changes.entered] = Change.ENTERED
    outcome.change[reported] = Change.CONTINUES
    outcome.change[changes.left] = Change.CALMED


def _learn(state: State, rows: Rows, seen: Observations, judgement: Judgement) -> None:
    learns = seen.usable & (state["alarm"] == 0)
    learned = learn(_levels(state), seen.values, rows.samples, judgement.scale)
    for name in Levels._fields:
        state[name] = np.where(learns, getattr(learned, name), state[name])


def _pool(state: State, pools: Pools, middle: NDArray[np.uint8], usable: NDArray[np.bool_]) -> None:
    # Ordinary windows are pooled as they come. A run of remarkable ones depends on itself and counts once, by its peak,
    # when it has calmed down; a run that became an alarm is no part of the normal.
    calm = usable & (state["alarm"] == 0)
    remarkable = calm & (middle >= REMARKABLE)
    quiet = np.minimum(state["quiet"], CALM) + np.uint8(1)
    state["quiet"] = np.where(remarkable, np.uint8(0), np.where(calm, quiet, state["quiet"]))
    over = calm & (state["peak"] > 0) & (state["quiet"] >= CALM)
    ordinary = calm & ~remarkable & (state["seen"] > POOLED_AGE)
    _add(state, pools, np.flatnonzero(ordinary), middle)
    _add(state, pools, np.flatnonzero(over), state["peak"])
    state["peak"] = np.where(remarkable, np.maximum(state["peak"], middle), state["peak"])
    state["peak"][over | (state["alarm"] != 0)] = 0


def _add(state: State, pools: Pools, rows: NDArray[np.int64], bins: NDArray[np.uint8]) -> None:
    if rows.size:
        pools.add(state["cohort"][rows], bins[rows])
        state["record"][rows] = np.maximum(state["record"][rows], bins[rows])


def _remember(state: State, rows: Rows, seen: Observations, bins: NDArray[np.uint8], rules: Rules) -> None:
    young = (state["kind"] == GAUGE) & (state["seen"] <= rules.min_windows)
    state["rises"] += (young & (rows.last > state["previous"])).astype(np.uint8)
    state["falls"] += (young & seen.fell).astype(np.uint8)
    grows = young & (state["seen"] == rules.min_windows)
    grows &= is_growing(state["kind"], state["rises"], state["falls"], rules.min_windows)
    state["bin_2"] = np.where(seen.usable, state["bin_1"], state["bin_2"])
    state["bin_1"] = np.where(seen.usable, bins, state["bin_1"])
    _relearn(state, grows)
    state["kind"][grows] = GROWING
    coarse = np.flatnonzero((state["seen"] <= rules.min_windows) | (state["scale"] < state["resolution"]))
    finer = decimal_resolution(rows.last[coarse])
    state["resolution"][coarse] = np.minimum(state["resolution"][coarse], finer)
    state["previous"], state["last_end"], state["width"] = rows.last, rows.end, rows.width.astype(np.uint32)
