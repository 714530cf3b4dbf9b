"""The second detector of the round: is the series as it never was before?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.calibrate import bins_of
from analytics.detect.merge import TERMS, Detector
from analytics.detect.pools import SILENT
from analytics.detectors.novelty import WARM_UP, Ranges, beyond, gathered, newest, scores, total, widen
from analytics.detectors.onset import fade
from analytics.detectors.own_past import MOST, rarity
from analytics.detectors.profile import HOUR_MS, Coded, add_hour, expect
from analytics.detectors.rows import where
from analytics.detectors.signals import Moving, Signals, Window, advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.alarms import Alarms
    from analytics.detect.block import Block
    from analytics.detect.pools import Members, Pools

WINDOWS_MOST = 65_000
_FROM = TERMS[Detector.NOVELTY].windows


class ByNovelty(NamedTuple):
    """Of the `rows` that are new in something or in alarm, by number, ascending: the others are as they were.

    `signals`: of all rows, in the order of `signals.NAMES`, and the `least` range; `on`: the rows in alarm, and of these the
    signal (`part`) that is the newest. `score`, the summed novelty, its `rarity` by the series' own past, whether it has `begun`
    just now. `speaks`: there is a threshold; `hits`: it is reached by something that has begun; `calms`: well below.
    """

    rows: NDArray[np.int64]
    signals: Signals
    least: NDArray[np.float32]
    on: NDArray[np.int64]
    part: NDArray[np.uint8]
    score: NDArray[np.float32]
    rarity: NDArray[np.float32]
    begun: NDArray[np.bool_]
    speaks: NDArray[np.bool_]
    hits: NDArray[np.bool_]
    calms: NDArray[np.bool_]


def turn_hour(block: Block, end: NDArray[np.int64]) -> None:
    """Where a new hour has begun since the series was last seen: learn the old one, and expect the new one.

    What an alarm lasted through is not learned.
    """
    state = block.state
    if not end.size or (end.max() - 1) // HOUR_MS == (int(state["last_end"].min()) - 1) // HOUR_MS:
        return
    before, now = (state["last_end"] - 1) // HOUR_MS, (end - 1) // HOUR_MS
    turned = where(before != now)
    _learn_hours(block, turned[(state["hour_windows"][turned] > 0) & (state["alarm"][turned] == 0)], before)
    state["hour_sum"][turned], state["hour_windows"][turned] = 0.0, 0
    state["expected"][turned] = expect(_coded(block, turned), now[turned])


def look(block: Block, alarms: Alarms, pools: Pools, now: Window, least: NDArray[np.float32]) -> ByNovelty:
    """Move the signals on by a window, and judge each row by what its series ever was."""
    state = block.state
    state["hour_sum"] += now.values
    state["hour_windows"] += np.uint16(1)
    signals = advance(Moving(*(state[name] for name in Moving._fields)), state["windows"], now)
    summed = scores(Ranges(state["low"], state["high"]), signals, least)
    summed[state["windows"] < WARM_UP] = 0.0
    on = where(state["alarm"])
    is_new = summed > 0
    is_new[on] = True
    rows = where(is_new)
    score = summed.take(rows)
    since, part = score, np.zeros(0, np.uint8)
    if on.size:
        # An alarm lasts as long as the series is not back to what it was when the alarm began.
        held = beyond(alarms.of(block.series[on].astype(np.int64)).ranges(), gathered(signals, on), least[on])
        since, part = score.copy(), newest(held)
        since[np.searchsorted(rows, on)] = total(held)
    rare = rarity(since, *(state[name].take(rows) for name in ("windows", "records", "excess")))
    bins = bins_of(rare)
    enter, calm, _ = pools.novelty(*(state[name].take(rows) for name in ("cohort", "windows")))
    speaks, begun = enter != SILENT, score > state["newest"].take(rows)
    return ByNovelty(
        rows=rows,
        signals=signals,
        least=least,
        on=on,
        part=part,
        score=score,
        rarity=rare,
        begun=begun,
        speaks=speaks,
        hits=speaks & begun & (bins >= enter),
        calms=bins < calm,
    )


def name(state: State, found: ByNovelty, change: NDArray[np.uint8], part: NDArray[np.uint8]) -> None:
    """Write into `part`, shape (rows,), the signal that is the newest, of the rows in alarm and of those with a change."""
    part[found.on] = found.part
    told = where(change)
    told = told[~np.isin(told, found.on)]
    if told.size:
        known = Ranges(state["low"], state["high"]).of(told)
        parts = beyond(known, gathered(found.signals, told), found.least[told])
        parts[:, state["windows"][told] < WARM_UP] = 0.0
        part[told] = newest(parts)


def take(state: State, pools: Pools, members: Members, found: ByNovelty, idle: NDArray[np.int64]) -> None:
    """Learn what was new, pool how rare that was, and remember. What is new in an alarm is seen, but not learned from."""
    rows = found.rows
    widen(Ranges(state["low"], state["high"]), found.signals)
    _pool(state, pools, members, found, idle)
    learned = rows[found.begun & (state["alarm"][rows] == 0)]
    fade(state["newest"])
    state["newest"][rows] = np.maximum(state["newest"][rows], found.score)
    state["records"][learned] += np.uint16(1)
    state["excess"][learned] += np.minimum(state["newest"][learned], np.float32(MOST))
    np.minimum(state["windows"], np.uint16(WINDOWS_MOST - 1), out=state["windows"])
    state["windows"] += np.uint16(1)


def _pool(state: State, pools: Pools, members: Members, found: ByNovelty, idle: NDArray[np.int64]) -> None:
    counts = (state["windows"] >= _FROM) & (state["alarm"] == 0)
    counts[idle] = False
    if counts.any():
        bins, begun = np.zeros(len(counts), np.uint8), found.rows[found.begun]
        bins[begun] = bins_of(found.rarity[found.begun])
        pools.add_those(Detector.NOVELTY, members, bins, counts)


def _learn_hours(block: Block, rows: NDArray[np.int64], hours: NDArray[np.int64]) -> None:
    if rows.size:
        means = block.state["hour_sum"][rows] / block.state["hour_windows"][rows]
        series, coded = block.series[rows], add_hour(_coded(block, rows), hours[rows], means.astype(np.float32))
        block.table["profile"][:, series] = coded.codes
        block.table["profile_low"][series], block.table["profile_width"][series] = coded.low, coded.width


def _coded(block: Block, rows: NDArray[np.int64]) -> Coded:
    series = block.series[rows]
    return Coded(*(block.table[name][..., series] for name in ("profile", "profile_low", "profile_width")))
