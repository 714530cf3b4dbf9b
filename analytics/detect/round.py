"""One window of each of many series: begin anew where needed, observe, judge, decide, learn, remember.

This is the one engine: the live service, `tidegate detect` and the benches all call `step`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.detect import by_level, by_novelty, by_slow, by_stuck
from analytics.detect.alarms import Alarm
from analytics.detect.block import Block
from analytics.detect.looks import Looks
from analytics.detect.pools import NO_ROWS
from analytics.detectors.hysteresis import advance
from analytics.detectors.kinds import GAUGE, GROWING, is_growing, observe
from analytics.detectors.resolution import finer, least_rate_scale, least_scale
from analytics.detectors.rows import where
from analytics.detectors.signals import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import Columns, State
    from analytics.detect.alarms import Alarms
    from analytics.detect.config import DetectConfig
    from analytics.detect.pools import Pools

REBASELINE_WINDOWS = 60
"""No alarm is taken for the new normal before it has lasted so many windows."""
LARGEST = 1e30
"""Numbers beyond are not told apart."""
FARTHEST = 1e15
"""Nor distances from a series' first value: their squares must fit a float32."""


class Rows(NamedTuple):
    """One window of each of distinct series, columns of shape (rows,); times in ms.

    `absent`: the rows, by number, that only stand where a series has no window; their values are 0.
    """

    series: NDArray[np.int32]
    end: NDArray[np.int64]
    width: NDArray[np.integer[Any]]
    samples: NDArray[np.float32]
    mean: NDArray[np.float64]
    last: NDArray[np.float64]
    absent: NDArray[np.int64] = NO_ROWS


class Rules(NamedTuple):
    """How long things take; times in ms."""

    min_windows: int
    continues_ms: int
    rebaseline_ms: int
    relearn_after_ms: int

    @staticmethod
    def of(config: DetectConfig) -> Rules:
        """What a user said."""
        return Rules(
            min_windows=config.min_windows,
            continues_ms=round(config.continues_s * 1000),
            rebaseline_ms=round(config.rebaseline_s * 1000),
            relearn_after_ms=round(config.relearn_after_s * 1000),
        )


class Memory(NamedTuple):
    """All that is remembered of a partition's series, and the rules: what `step` reads and changes."""

    table: Columns
    alarms: Alarms
    pools: Pools
    rules: Rules


class Change(IntEnum):
    """What a window meant for its series' alarm."""

    NOTHING = 0
    ENTERED = 1
    CONTINUES = 2
    CALMED = 3
    NEW_NORMAL = 4
    RELEARNED = 5


class Outcome(NamedTuple):
    """Of each row, shape (rows,): the change u1 and the numbers it rests on.

    `surprise`: the bin of two of three windows; `rarity`: of what is new, by the series' own past, 0 where nothing is;
    `begun`: that is new since just now; `part`: the signal that is the newest, of rows in alarm or with a change. `since` (ms) where an alarm began, else 0.
    `by_level`, `by_novelty`: whether this detector has a threshold for the row; `stuck`: the bin of the run of equal values
    where it is longer than any was, 0 elsewhere; `drift`, `unrest`: those of means of many windows where they are high.
    """

    change: NDArray[np.uint8]
    value: NDArray[np.float64]
    expected: NDArray[np.float64]
    scale: NDArray[np.float32]
    surprise: NDArray[np.uint8]
    rarity: NDArray[np.float32]
    begun: NDArray[np.bool_]
    part: NDArray[np.uint8]
    since: NDArray[np.int64]
    by_level: NDArray[np.bool_]
    by_novelty: NDArray[np.bool_]
    stuck: NDArray[np.uint8]
    drift: NDArray[np.uint8]
    unrest: NDArray[np.uint8]

    def of(self, rows: NDArray[np.int64]) -> Outcome:
        """That of some rows."""
        return Outcome._make(column[rows] for column in self)

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Nothing was looked at in these rows."""
        for name, column in self._asdict().items():
            if name not in ("change", "since"):
                column[rows] = 0


class _Told(NamedTuple):
    """What is said of each row, and since when: the columns of `Outcome` that are written as things happen."""

    change: NDArray[np.uint8]
    since: NDArray[np.int64]


class _Window(NamedTuple):
    """Rows with what is looked at of them: values in the metric's unit (per second).

    `rated`: the rows, by number, that are looked at as rates; `elapsed`: ms since the window before; `idle`: the rows that have
    nothing to look at.
    """

    rows: Rows
    values: NDArray[np.float64]
    rated: NDArray[np.int64]
    elapsed: NDArray[np.int64]
    idle: NDArray[np.int64]


def step(memory: Memory, rows: Rows) -> Outcome:
    """Take one window of each series into `memory`, and say what changed."""
    block = Block(memory.table, rows.series)
    state, told = block.state, _Told(np.zeros(len(rows.series), np.uint8), np.zeros(len(rows.series), np.int64))
    saved = state.put_aside(rows.absent)
    state["last_end"][rows.absent] = rows.end[rows.absent] - rows.width[rows.absent]
    _begin_anew(block, memory, rows, told)
    by_novelty.turn_hour(block, rows.end)
    _count_rises(state, rows, memory.rules)
    elapsed = np.maximum(rows.end - state["last_end"], 1)
    seen = observe(state["kind"], rows.mean, rows.last, state["previous"], elapsed)
    state["last_end"][:] = rows.end
    idle = np.sort(np.concatenate([rows.absent, seen.idle]))  # who is absent is at rest, and so no idle one
    if len(idle) == len(rows.series):
        outcome = _outcome(told)
    else:
        # What is idle is looked at as well, so that no row has to be moved, but as something that is at rest.
        aside = state.put_aside(seen.idle)
        outcome = _look(block, memory, _Window(rows, seen.values, seen.rated, elapsed, idle), told)
        state.restore(seen.idle, aside)
        outcome.forget(idle)
    _remember(block, rows, memory.rules)
    state.restore(rows.absent, saved)
    block.give_back()
    return outcome


def _outcome(told: _Told, **looked_at: NDArray[Any]) -> Outcome:
    # What was not looked at is 0.
    rest = {name: np.zeros(len(told.change), dtype) for name, dtype in _DTYPES.items() if name not in looked_at}
    return Outcome(change=told.change, since=told.since, **looked_at, **rest)


_DTYPES = {"value": "f8", "expected": "f8", "scale": "f4", "surprise": "u1", "rarity": "f4", "begun": "?", "part": "u1"}
_DTYPES |= {"by_level": "?", "by_novelty": "?", "stuck": "u1", "drift": "u1", "unrest": "u1"}


def _begin_anew(block: Block, memory: Memory, rows: Rows, told: _Told) -> None:
    state, alarms, rules = block.state, memory.alarms, memory.rules
    # Silent for long: what was normal then need not be so now. An alarm is not ended by silence.
    if rows.end.max() - state["last_end"].min() > rules.relearn_after_ms:
        silent = rows.end - rows.width - state["last_end"] > rules.relearn_after_ms
        _relearn(state, where(silent & (state["last_end"] > 0) & (state["alarm"] == 0)))
    on = where(state["alarm"])
    if on.size:
        # The alarm has lasted so long that this is how it is now.
        patience = np.maximum(rules.rebaseline_ms, REBASELINE_WINDOWS * rows.width[on].astype(np.int64))
        since = alarms.of(block.series[on].astype(np.int64)).since
        lasting = on[rows.end[on] - since >= patience]
        told.change[lasting], told.since[on] = Change.NEW_NORMAL, since
        alarms.end(block.series[lasting].astype(np.int64))
        by_stuck.accept(state, lasting)
        _relearn(state, lasting)
    # It was taken for something that only grows, and is not.
    grows = where(state["kind"] == GROWING)
    fell = grows[rows.last[grows] < state["previous"][grows]]
    if fell.size:
        ends = fell[state["alarm"][fell] != 0]
        alarms.end(block.series[ends].astype(np.int64))
        told.change[ends] = Change.RELEARNED
        block.reset(fell)
        state["kind"][fell] = GAUGE


def _relearn(state: State, rows: NDArray[np.int64]) -> None:
    for name in ("seen", "rises", "falls", "bin_1", "bin_2", "peak", "quiet", "calm", "alarm", "lean", "slow_seen"):
        state[name][rows] = 0


def _look(block: Block, memory: Memory, window: _Window, told: _Told) -> Outcome:
    state, pools = block.state, memory.pools
    near = _near(state, window.values)
    seen = by_level.Seen(near, window.rows.samples, _least(state, window), window.idle)
    members = pools.members(state["cohort"], window.idle)
    level = by_level.look(state, pools, members, seen, memory.rules.min_windows)
    now = Window(near, state["expected"], level.judgement.surprise)
    novel = by_novelty.look(block, memory.alarms, pools, now, seen.least)
    outcome = _outcome(
        told,
        value=window.values,
        expected=state["origin"] + state["level"].astype(np.float64),
        scale=level.judgement.scale,
        surprise=level.middle,
        by_level=level.speaks,
    )
    level = level._replace(hits=by_level.stands_alone(state, pools, seen, level, window.rows.end))
    stuck = by_stuck.look(state, pools, window.rows)
    looks = Looks(level, novel, stuck, *by_slow.look(state, pools, window.rows, seen, level))
    looks.tell(outcome)
    _decide(block, memory, window.rows, outcome, looks)
    by_novelty.name(state, novel, outcome.change, outcome.part)
    by_level.take(state, pools, members, seen, level)
    by_novelty.take(state, pools, members, novel, window.idle)
    return outcome


def _near(state: State, values: NDArray[np.float64]) -> NDArray[np.float32]:
    first = where(state["windows"] == 0)
    state["origin"][first] = values[first]
    near: NDArray[np.float32] = (values - state["origin"]).astype(np.float32)
    if near.max() > FARTHEST or near.min() < -FARTHEST:
        np.clip(near, -FARTHEST, FARTHEST, out=near)
    return near


def _least(state: State, window: _Window) -> NDArray[np.float32]:
    rows, rated = window.rows, window.rated
    level = state["origin"] + state["level"]
    least = least_scale(level, state["resolution"])
    if rated.size:
        gap = rows.width[rated].astype(np.float32) / np.maximum(state["samples"][rated], np.float32(1.0))
        least[rated] = least_rate_scale(
            level[rated], state["resolution"][rated], window.elapsed[rated], gap.astype(np.float32, copy=False)
        )
    return least


def _decide(block: Block, memory: Memory, rows: Rows, outcome: Outcome, looks: Looks) -> None:
    state, alarms, hits = block.state, memory.alarms, looks.hits()
    some = where(hits | (state["alarm"] != 0))
    if not some.size:
        return
    changes = advance(state["alarm"][some], state["calm"][some], hits[some], looks.calms()[some])
    entered, left = some[changes.entered], some[changes.left]
    state["calm"][some] = changes.calm
    state["alarm"][entered], state["alarm"][left] = looks.alarms()[entered], 0
    by_slow.forget(state, left)
    began = rows.end[entered] - rows.width[entered] * looks.windows()[entered]
    low, high = state["low"][:, entered], state["high"][:, entered]
    alarms.begin(block.series[entered].astype(np.int64), Alarm(began, rows.end[entered], low, high))
    outcome.change[entered], outcome.since[entered] = Change.ENTERED, began
    alarms.end(block.series[left].astype(np.int64))
    outcome.change[left] = Change.CALMED
    _tell(block, memory, rows, outcome, some[(changes.alarm != 0) & ~changes.entered])


def _tell(block: Block, memory: Memory, rows: Rows, outcome: Outcome, lasting: NDArray[np.int64]) -> None:
    series = block.series[lasting].astype(np.int64)
    due = rows.end[lasting] - memory.alarms.of(series).told >= memory.rules.continues_ms
    memory.alarms.tell(series[due], rows.end[lasting[due]])
    outcome.change[lasting[due]] = Change.CONTINUES


def _count_rises(state: State, rows: Rows, rules: Rules) -> None:
    young = where((state["kind"] == GAUGE) & (state["seen"] <= rules.min_windows))
    if young.size:
        last, previous = rows.last[young], state["previous"][young]
        state["rises"][young] += last > previous
        state["falls"][young] += last < previous


def _remember(block: Block, rows: Rows, rules: Rules) -> None:
    state = block.state
    young = state["seen"] <= rules.min_windows
    if young.any():
        grows = young & (state["seen"] == rules.min_windows) & (state["alarm"] == 0)
        grows &= is_growing(state["kind"], state["rises"], state["falls"], rules.min_windows)
        rows_that_grow = where(grows)
        block.reset(rows_that_grow)
        state["kind"][rows_that_grow] = GROWING
    coarse = where(young | (state["scale"] < state["resolution"]))
    state["resolution"][coarse] = finer(state["resolution"][coarse], rows.last[coarse])
    state["previous"][:] = rows.last
