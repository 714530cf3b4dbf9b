"""The second detector of the round: is the series as it never was before?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.calibrate import bins_of
from analytics.detect.merge import TERMS, Detector
from analytics.detect.pools import SILENT
from analytics.detectors.novelty import WARM_UP, Ranges, beyond, newest, outside, total, widen
from analytics.detectors.onset import fade
from analytics.detectors.own_past import MOST, rarity
from analytics.detectors.profile import HOUR_MS, Coded, add_hour, expect
from analytics.detectors.signals import Moving, Window, advance, of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.alarms import Alarms
    from analytics.detect.block import Block
    from analytics.detect.pools import Pools

WINDOWS_MOST = 65_000
_FROM = TERMS[Detector.NOVELTY].windows


class ByNovelty(NamedTuple):
    """Of the `rows` that are new in something or in alarm, by number, ascending: the others are as they were.

    `wider`: their ranges with this window in them; `score`, the summed novelty, its `rarity` by the series' own past, whether
    it has `begun` just now, the signal (`part`) that is the newest. `speaks`: there is a threshold; `hits`: it is reached by
    something that has begun; `calms`: well below.
    """

    rows: NDArray[np.int64]
    wider: Ranges
    score: NDArray[np.float32]
    rarity: NDArray[np.float32]
    begun: NDArray[np.bool_]
    part: NDArray[np.uint8]
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
    turned = np.flatnonzero(before != now)
    _learn_hours(block, turned[(state["hour_windows"][turned] > 0) & (state["alarm"][turned] == 0)], before)
    state["hour_sum"][turned], state["hour_windows"][turned] = 0.0, 0
    state["expected"][turned] = expect(_coded(block, turned), now[turned])


def look(block: Block, alarms: Alarms, pools: Pools, now: Window, least: NDArray[np.float32]) -> ByNovelty:
    """Move the signals on by a window, and judge each row by what its series ever was."""
    state = block.state
    state["hour_sum"] += now.values
    state["hour_windows"] += np.uint16(1)
    signals = advance(Moving(*(state[name] for name in Moving._fields)), state["windows"], now)
    ranges = Ranges(state["low"], state["high"])
    on = np.flatnonzero(state["alarm"])
    rows = np.union1d(outside(ranges, signals), on) if on.size else outside(ranges, signals)
    known, seen = ranges.of(rows), of(signals, rows)
    parts = beyond(known, seen, least[rows])
    parts[:, state["windows"][rows] < WARM_UP] = 0.0
    score = total(parts)
    begun = score > state["newest"][rows]
    if on.size:
        # An alarm lasts as long as the series is not back to what it was when the alarm began.
        again = np.searchsorted(rows, on)
        held = alarms.of(block.series[on].astype(np.int64)).ranges()
        parts[:, again] = beyond(held, of(signals, on), least[on])
    since = total(parts)
    rare = rarity(since, *(state[name][rows] for name in ("windows", "records", "excess")))
    bins = bins_of(rare)
    enter, calm, _ = pools.novelty(*(state[name][rows] for name in ("cohort", "windows")))
    speaks = enter != SILENT
    return ByNovelty(
        rows=rows,
        wider=widen(known, seen),
        score=score,
        rarity=rare,
        begun=begun,
        part=newest(parts),
        speaks=speaks,
        hits=speaks & begun & (bins >= enter),
        calms=bins < calm,
    )


def take(state: State, pools: Pools, found: ByNovelty, idle: NDArray[np.int64]) -> None:
    """Learn what was new, pool how rare that was, and remember. What is new in an alarm is seen, but not learned from."""
    rows = found.rows
    state["low"][:, rows], state["high"][:, rows] = found.wider
    _pool(state, pools, found, idle)
    learned = rows[found.begun & (state["alarm"][rows] == 0)]
    fade(state["newest"])
    state["newest"][rows] = np.maximum(state["newest"][rows], found.score)
    state["records"][learned] += np.uint16(1)
    state["excess"][learned] += np.minimum(state["newest"][learned], np.float32(MOST))
    np.minimum(state["windows"], np.uint16(WINDOWS_MOST - 1), out=state["windows"])
    state["windows"] += np.uint16(1)


def _pool(state: State, pools: Pools, found: ByNovelty, idle: NDArray[np.int64]) -> None:
    bins = np.zeros(len(state["windows"]), np.uint8)
    begun = found.rows[found.begun]
    bins[begun] = bins_of(found.rarity[found.begun])
    counts = (state["windows"] >= _FROM) & (state["alarm"] == 0)
    counts[idle] = False
    pools.add_those(Detector.NOVELTY, state["cohort"], bins, counts)


def _learn_hours(block: Block, rows: NDArray[np.int64], hours: NDArray[np.int64]) -> None:
    if rows.size:
        means = block.state["hour_sum"][rows] / block.state["hour_windows"][rows]
        series, coded = block.series[rows], add_hour(_coded(block, rows), hours[rows], means.astype(np.float32))
        block.table["profile"][:, series] = coded.codes
        block.table["profile_low"][series], block.table["profile_width"][series] = coded.low, coded.width


def _coded(block: Block, rows: NDArray[np.int64]) -> Coded:
    series = block.series[rows]
    return Coded(*(block.table[name][..., series] for name in ("profile", "profile_low", "profile_width")))
