"""Lines through series say what weighted least squares says of each series alone; what is said of them holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rules.kinds import Forecast
from analytics.rules.life import Said
from analytics.rules.lines import CORRELATED, Lines, sure
from analytics.rules.partition import Partition
from tests.examples import examples
from tests.rollup_batches import T0, Row, make_batch

MINUTE = 60_000


def disk(**changes: object) -> Forecast:
    known: dict[str, object] = {"name": "DiskFills", "metric": "disk", "within": "4h", "over": "2h", "above": 100.0}
    return Forecast(**(known | changes))  # type: ignore[arg-type]


def naive(ends: list[int], values: list[float], over_s: float, within_s: float) -> tuple[float, float, float]:
    """Level, slope and standard error of the value ahead, by solving the weighted least squares anew."""
    smooth = [value if n < 2 else sorted(values[n - 2 : n + 1])[1] for n, value in enumerate(values)]
    ended = np.array(ends) / 1000
    weight = np.exp(-(ended[-1] - ended) / over_s)
    at = np.array(
        [ended[n] if n < 2 else ended[n - 1] for n in range(len(ended))]
    )  # a median is of the window in the middle
    mean_t, mean_y = np.average(at, weights=weight), np.average(smooth, weights=weight)
    tt = float((weight * (at - mean_t) ** 2).sum())
    slope = float((weight * (at - mean_t) * (smooth - mean_y)).sum()) / tt
    level = float(mean_y + slope * (ended[-1] - mean_t))
    free = max(weight.sum() - 2 * CORRELATED, 1)
    rest = float((weight * (smooth - mean_y - slope * (at - mean_t)) ** 2).sum()) / free
    away = ended[-1] + within_s - mean_t
    return level, slope, math.sqrt(CORRELATED * max(rest, 0.0) * (1 / weight.sum() + away * away / tt))


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32))
def test_lines_are_weighted_least_squares(seed: int) -> None:
    chance = np.random.default_rng(seed)
    rule, series, windows = disk(), int(chance.integers(1, 5)), int(chance.integers(4, 40))
    lines = Lines(rule)
    lines.grow_to(series + 2)
    ends = T0 + MINUTE * np.cumsum(chance.integers(1, 30, windows))
    values = chance.normal(50, 5, (windows, series)) + np.arange(windows)[:, None] * chance.normal(0, 2, series)
    ids = chance.permutation(series).astype(np.int32)
    for end, row in zip(ends, values, strict=True):
        lines.judge(ids, np.full(series, end), row, None)
    line = sure(lines._state[:, lines._slot[ids]])
    (ahead, error), level, slope = line.ahead(rule.within_s), line.level, line.slope
    for place in range(series):
        expected = naive(ends.tolist(), values[:, place].tolist(), rule.over_s, rule.within_s)
        assert (level[place], slope[place], error[place]) == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert ahead[place] == pytest.approx(expected[0] + rule.within_s * expected[1], rel=1e-5, abs=1e-6)


def told(rule: Forecast, values: list[float], *, restart_at: int = -1) -> list[tuple[int, Said, float]]:
    """What is said, and at which window, of a series with a window every minute."""
    partition, found = Partition([rule], 100, 1 << 40), []
    for window, value in enumerate(values):
        if window == restart_at:
            fresh = Partition([rule], 100, 1 << 40)
            fresh.load(partition.series.names(), partition.series.marks(), partition.rule_state())
            partition = fresh
        row = Row(metric="disk", start=T0 + window * MINUTE, width=MINUTE, values=(value,))
        found += [(window, one.said, one.value) for one in partition.take(make_batch([row]))]
    return found


def climbing(minutes: int, *, first: float = 50.0, hourly: float = 10.0, noise: float = 0.2) -> list[float]:
    chance = np.random.default_rng(1)
    return [first + hourly * n / 60 + float(chance.normal(0, noise)) for n in range(minutes)]


def test_a_disk_that_will_be_full_is_told_hours_before() -> None:
    (window, said, left), *_ = told(disk(), climbing(240))
    # At 10 an hour it is 50 + 10/60 n: four hours before the end it stands at 60, after an hour.
    assert said is Said.HOLDS
    assert 60 <= window <= 80
    assert left == pytest.approx(60 * (300 - window), rel=0.1)


def test_what_stands_still_says_nothing_and_what_stops_is_over() -> None:
    assert told(disk(), climbing(600, hourly=0.0, first=90.0)) == []
    stops = climbing(120) + [climbing(120)[-1]] * 240
    said = [said for _, said, _ in told(disk(), stops)]
    assert said[-1] is Said.OVER
    assert set(said[:-1]) == {Said.HOLDS}  # again and again while it holds


def test_one_window_far_off_moves_nothing() -> None:
    steady = climbing(300, hourly=0.0)
    for n in (70, 150, 151 + 60):
        steady[n] = 5_000.0
    assert told(disk(), steady) == []


def test_a_bound_from_below_is_reached_downwards() -> None:
    rule = disk(above=None, below=10.0)
    (_, said, left), *_ = told(rule, climbing(240, first=60.0, hourly=-10.0))
    assert said is Said.HOLDS
    assert 0 < left < 4 * 3600


def test_a_restart_changes_nothing() -> None:
    values = climbing(240)
    assert told(disk(), values, restart_at=50) == told(disk(), values)
    assert told(disk(), values, restart_at=130) == told(disk(), values)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_of_what_is_no_number_nothing_is_said_and_what_holds_stays(bad: float) -> None:
    values = climbing(240)
    first, again, *_ = [window for window, _, _ in told(disk(), values)]
    values[30] = values[first] = bad
    values[again : again + 20] = [bad] * 20
    said = told(disk(), values)
    assert {what for _, what, _ in said} == {Said.HOLDS}
    assert not {window for window, _, _ in said} & {30, first, *range(again, again + 20)}
    assert first < said[0][0] < again + 20 <= said[1][0]
    assert max(left for _, _, left in said) < 4 * 3600


def test_what_was_forgotten_begins_anew_beside_others() -> None:
    lines = Lines(disk())
    lines.grow_to(4)
    for n in range(20):
        lines.judge(np.arange(4, dtype=np.int32), np.full(4, T0 + n * MINUTE), np.arange(4.0), None)
    before = lines._state[:, lines._slot[[1, 3]]].copy()
    lines.keep(np.array([1, 3]))
    assert (lines._state[:, lines._slot] == before).all()
    lines.grow_to(3)
    lines.judge(np.array([2], np.int32), np.array([T0]), np.array([7.0]), None)
    assert (lines._state[:, lines._slot[:2]] == before).all()
