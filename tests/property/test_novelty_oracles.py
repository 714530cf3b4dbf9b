"""What watches series for the never seen does, row by row, what a plain loop would."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detect.recording import detect
from analytics.detectors.novelty import SMALL, Ranges, beyond, gathered, newest, scores, total, widen
from analytics.detectors.own_past import PRIOR, PRIOR_MEAN, rarity
from analytics.detectors.profile import DAY, SLOTS, STEPS, UNKNOWN, Coded, add_hour, expect
from analytics.detectors.signals import SIGNALS, Moving, Window, advance

NUMBER = st.floats(-1e6, 1e6, width=32)
POSITIVE = st.floats(0.0009765625, 1e6, width=32)


@given(st.lists(st.tuples(NUMBER, POSITIVE, NUMBER, POSITIVE), min_size=1))
def test_beyond_is_measured_in_ranges(rows: list[tuple[float, float, float, float]]) -> None:
    low, width, value, least = (np.array(column, np.float32)[None, :] for column in zip(*rows, strict=True))
    known = Ranges(low, low + width)
    found, after = beyond(known, value, least[0]), Ranges(known.low.copy(), known.high.copy())
    widen(after, value)
    for at in range(len(rows)):
        lowest, highest, number = float(low[0, at]), float((low + width)[0, at]), float(value[0, at])
        away = max(number - highest, lowest - number, 0.0)
        ratio = min(away / max(np.float32(highest) - np.float32(lowest), least[0, at]), 1e6)
        assert math.isclose(found[0, at], math.log1p(ratio / SMALL), rel_tol=1e-3, abs_tol=1e-5)
        assert (after.low[0, at], after.high[0, at]) == (min(lowest, number), max(highest, number))


@given(st.integers(1, 5), st.integers(0, 20), st.integers(0, 2**31))
def test_a_score_is_the_sum_over_all_signals_though_few_are_looked_at(signals: int, rows: int, seed: int) -> None:
    low, wide, now = np.random.default_rng(seed).integers(-3, 4, (3, signals, rows)).astype(np.float32)
    known, least = Ranges(low, low + np.abs(wide)), np.full(rows, 0.5, np.float32)
    expected = total(beyond(known, now, least))
    assert scores(known, list(now), least).tobytes() == expected.tobytes()
    assert np.allclose(expected, beyond(known, now, least).sum(axis=0))


@given(st.lists(st.tuples(st.floats(0, 50, width=32), st.integers(0, 60_000), st.integers(0, 60_000)), min_size=1))
def test_rarity_is_minus_the_logarithm_of_often_times_beyond(rows: list[tuple[float, int, int]]) -> None:
    scores, seen, records = (np.array(column) for column in zip(*rows, strict=True))
    excess = (records * 0.25).astype(np.float32)
    found = rarity(scores.astype(np.float32), seen.astype(np.uint16), records.astype(np.uint16), excess)
    for at, (score, windows, counted) in enumerate(rows):
        mean = (PRIOR * PRIOR_MEAN + counted * 0.25) / (PRIOR + counted)
        expected = score / mean - math.log(min(1.0, (counted + 1) / (windows + 1))) if score > 0 else 0.0
        assert math.isclose(found[at], expected, rel_tol=1e-4, abs_tol=1e-4)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 400), st.floats(-1000, 1000, width=32)), max_size=40), st.integers(0, 400))
def test_a_profile_is_an_hour_of_the_day_and_a_quarter_of_the_week(hours: list[tuple[int, float]], asked: int) -> None:
    known = Coded(np.full((SLOTS, 1), UNKNOWN, np.uint8), *np.zeros((2, 1), np.float32))
    days: dict[int, float] = {}
    weeks: dict[int, float] = {}
    for hour, mean in hours:
        known = add_hour(known, np.array([hour]), np.array([mean], np.float32))
        day, week = hour % 24, hour % 168 // 6
        away = mean - days.get(day, mean) - weeks.get(week, 0.0)
        weeks[week] = weeks.get(week, 0.0) + (0.1 * away if day in days else 0.0)
        days[day] = days[day] + 0.2 * away if day in days else mean - weeks[week]
    found = expect(known, np.array([asked]))[0]
    # Every code is right to half a step of the range, and rewritten whenever the range has grown.
    tolerance = 0.6 * (len(hours) + 2) * 2 * float(known.width[0]) / STEPS
    if asked % 24 in days:
        assert abs(found - days[asked % 24] - weeks.get(asked % 168 // 6, 0.0)) <= tolerance + 1e-3
    else:
        assert math.isnan(found)


def test_a_weekly_pattern_is_learned_from_some_weeks() -> None:
    known = Coded(np.full((SLOTS, 1), UNKNOWN, np.uint8), *np.zeros((2, 1), np.float32))
    hours = np.arange(8 * 168)
    truth = 10 * np.sin(hours * 2 * np.pi / DAY) + np.where(hours // DAY % 7 >= 5, 6.0, 0.0)
    errors = []
    for hour, mean in zip(hours, truth, strict=True):
        errors.append(float(expect(known, np.array([hour]))[0]) - mean)
        known = add_hour(known, np.array([hour]), np.array([mean], np.float32))
    assert np.nanmax(np.abs(errors[-168:])) < 1.5
    assert np.isnan(errors[:24]).all()


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60))
def test_signals_follow_as_a_plain_loop(values: list[float]) -> None:
    known = Moving(np.zeros((4, 1), np.float32), *np.zeros((2, 1), np.float32))
    means, profile_mean, restless = [0.0] * 4, 0.0, 0.0
    for at, value in enumerate(values):
        one = np.array([value], np.float32)
        now = Window(one, np.array([np.nan], np.float32), np.abs(one))
        signals = gathered(advance(known, np.array([at], np.uint16), now), np.array([0]))
        for number, memory in enumerate((4, 12, 40, 200)):
            before = value if at == 0 else means[number]
            means[number] = before + max(1 / (at + 1), 1 / memory) * (value - before)
        profile_mean += max(1 / (at + 1), 1 / 12) * (value - means[3] - profile_mean)
        restless += max(1 / (at + 1), 1 / 10) * (math.log(abs(value) / 8 + 1) - restless)
        expected = [value, means[0], means[0] - means[2], means[1] - means[3], value - means[3], profile_mean, restless]
        assert signals.shape == (SIGNALS, 1)
        assert np.allclose(signals[:, 0], expected, rtol=1e-3, atol=1e-3)


def _history(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 1, (rows, 3))
    values[:, 1] = 1e9 + np.round(values[:, 1])
    values[rows // 2 : rows // 2 + 20, 0] += 30
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


@settings(max_examples=5)
@given(st.integers(0, 2**31), st.integers(1, 399))
def test_cutting_off_the_future_leaves_every_score_as_it_was(seed: int, cut: int) -> None:
    values, times = _history(seed, 400), np.arange(400, dtype=np.int64) * 600_000
    whole, part = detect(times, values, width_ms=600_000), detect(times[:cut], values[:cut], width_ms=600_000)
    for found, before in zip(whole, part, strict=True):
        assert found[:cut].tobytes() == before.tobytes()


ODD = st.one_of(st.floats(), st.sampled_from([0.0, 1e300, -1e300, 1e-300, math.inf, math.nan]))


@settings(max_examples=20)
@given(st.lists(st.tuples(ODD, st.integers(-(2**40), 2**40)), min_size=1, max_size=60))
def test_nothing_that_a_column_may_hold_stops_it(rows: list[tuple[float, int]]) -> None:
    values = np.array([[row[0]] for row in rows])
    found = detect(np.array([row[1] for row in rows], np.int64), values)
    assert np.isfinite(found.score).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_a_jump_is_an_alert_once_and_its_end_is_the_new_normal() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(50, 1, (1200, 1))
    values[800:] += 40
    found = detect(np.arange(1200, dtype=np.int64) * 60_000, values)
    begins = np.flatnonzero(np.diff(found.alert[:, 0].astype(int), prepend=0) > 0)
    assert begins[begins >= 700].tolist() == [800]
    assert found.new_normal[:, 0].sum() == 1
    assert found.score[800, 0] > 0.5


def test_a_constant_series_says_nothing() -> None:
    assert not detect(np.arange(500, dtype=np.int64) * 60_000, np.full((500, 1), 7.0)).alert.any()


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=n, max_size=n), min_size=1, max_size=7)
    )
)
def test_the_newest_signal_is_the_first_of_the_farthest(parts: list[list[float]]) -> None:
    found = newest(np.array(parts, np.float32))
    for at, number in enumerate(found.tolist()):
        column = [part[at] for part in parts]
        assert number == column.index(max(column))
