"""When a line reaches its bound: what is told is what walking along the line finds, and holds the true time as often as is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rules.crossing import Sure, interval
from analytics.rules.kinds import Forecast
from analytics.rules.lines import CERTAINTY, COVERED, Lines
from tests.examples import examples
from tests.rollup_batches import T0

FAR, STEPS = 1000.0, 20_000
MINUTE = 60_000
FLEET = 2000


def line(seed: int, rows: int) -> tuple[Sure, float]:
    """Lines around a bound of 100: rising, falling and flat, with errors from none to any."""
    chance = np.random.default_rng(seed)
    level, slope = 100 + chance.normal(0, 5, rows), chance.normal(0, 0.05, rows) * chance.integers(0, 2, rows)
    base, growth = np.abs(chance.normal(0, 1, rows)) ** 4, 10.0 ** chance.uniform(-12, -2, rows)
    quiet = chance.random(rows) < 0.2
    return Sure(level, slope, np.where(quiet, 0, base), np.where(quiet, 0, growth), chance.uniform(0, 200, rows)), 100.0


def walked(one: Sure, row: int, bound: float, errors: float) -> float:
    """The first time at which the line with so many errors added is at the bound, to a step."""
    for t in np.linspace(0, FAR, STEPS + 1).tolist():
        away = float(one.age[row]) + t
        error = math.sqrt(float(one.base[row]) + float(one.growth[row]) * away * away)
        if float(one.level[row]) + float(one.slope[row]) * t + errors * error >= bound:
            return t
    return math.inf


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 2.0, 3.0]))
def test_both_ends_are_where_one_who_walks_along_the_line_comes_to_the_bound(seed: int, errors: float) -> None:
    (lines, bound), step = line(seed, 4), FAR / STEPS
    for end, sign in zip(interval(lines, bound, errors), (1.0, -1.0), strict=True):
        for row in range(4):
            first = walked(lines, row, bound, sign * errors)
            # Lines that only touch the bound are not decided by either: a step may miss them.
            if math.isinf(first):
                near = [float(end[row]) + n * step for n in range(-2, 3)]
                assert end[row] > FAR - step or touches(lines, row, bound, sign * errors, near)
            else:
                assert end[row] == pytest.approx(first, abs=1.01 * step)


def touches(one: Sure, row: int, bound: float, errors: float, times: list[float]) -> bool:
    value, error = zip(*((float(v[row]), float(e[row])) for v, e in map(one.ahead, times)), strict=True)
    return abs(max(v + errors * e for v, e in zip(value, error, strict=True)) - bound) < 1e-3


def noises(
    kind: str, chance: np.random.Generator, shape: tuple[int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Independent from window to window, with a standard deviation of about 1."""
    if kind == "normal":
        return chance.normal(0, 1, shape)
    if kind == "heavy tails":
        return chance.standard_t(3, shape) / math.sqrt(3)
    return chance.uniform(-math.sqrt(3), math.sqrt(3), shape)


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "uniform"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rise", [0.05, 0.5])
def test_the_true_time_is_in_the_interval_as_often_as_is_said(kind: str, sign: int, rise: float) -> None:
    # 36 windows in `over`: the fewest points that anything is said of. `rise` is in standard deviations of the noise, each window.
    looked, reached = {11, 18, 36, 100}, 107.4
    rule = Forecast(
        name="Fills", metric="disk", within="36m", over="36m", **{"above" if sign > 0 else "below": 500.0}
    )  # fmt: skip
    lines, ids = Lines(rule), np.arange(FLEET, dtype=np.int32)
    lines.grow_to(FLEET)
    values = 500 + sign * (
        rise * (np.arange(101) - reached)[:, None] + noises(kind, np.random.default_rng(11), (101, FLEET))
    )
    fired = 0
    for window, value in enumerate(values):
        _, enter, _ = lines.judge(ids, np.full(FLEET, T0 + window * MINUTE), value, None)
        ends = np.array(lines.between(ids), np.float64)
        # What fires does so because even the latest time is within reach.
        assert (ends[enter, 1] <= rule.within_s).all()
        fired += int(enter.sum())
        if window in looked:
            true = 60 * (reached - window)
            covered = float(((ends[:, 0] <= true) & (true <= ends[:, 1])).mean())
            assert covered >= COVERED, (window, covered)
    assert fired
    # Of lines that are known well the interval says something: it is narrower than the way that is left was long.
    assert np.median(ends[:, 1] - ends[:, 0]) < 60 * reached


def test_without_noise_both_ends_are_the_time_itself() -> None:
    rule = Forecast(name="Fills", metric="disk", within="4h", over="2h", above=100.0)
    lines, ids = Lines(rule), np.array([0], np.int32)
    lines.grow_to(1)
    for window in range(60):
        lines.judge(ids, np.array([T0 + window * MINUTE]), np.array([40.0 + window / 4]), None)
    assert lines.between(ids) == [(pytest.approx(60 * (240 - 59), rel=1e-4), pytest.approx(60 * (240 - 59), rel=1e-4))]
    assert CERTAINTY >= 1


def test_a_series_without_a_line_has_no_interval_and_a_flat_one_no_end() -> None:
    rule = Forecast(name="Fills", metric="disk", within="4h", over="2h", above=100.0)
    lines, chance = Lines(rule), np.random.default_rng(3)
    lines.grow_to(3)
    for window in range(60):
        lines.judge(np.array([0], np.int32), np.array([T0 + window * MINUTE]), chance.normal(50, 1, 1), None)
    (flat, none) = lines.between(np.array([0, 2], np.int32))
    assert none is None
    assert flat is not None
    assert flat[0] > 0
    assert flat[1] == math.inf
