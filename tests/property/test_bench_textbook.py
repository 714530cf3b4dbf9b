"""The textbook's charts against naive loops, and the limits against trying every one."""

from __future__ import annotations

import math
from itertools import takewhile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.bench.detect.textbook import CUSUM_SLACK, EWMA_WEIGHT, HOUR, PICKS, REFRESH
from compose.bench.detect.textbook_limits import CALM, Limits

PHASE_ONE, WINDOWS, LEAST = 30, 140, 0.5


def series(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and presence of (windows, series): noise, noise with outliers, a constant, whole numbers; some missing."""
    chance = np.random.default_rng(seed)
    values = chance.normal(20, 2, (WINDOWS, 4))
    values[:, 1] += 50 * (chance.random(WINDOWS) < 0.02)
    values[:, 2] = 7.0
    values[:, 3] = np.rint(values[:, 3] / 4)
    return values, chance.random((WINDOWS, 4)) > 0.1


def score(name: str, values: np.ndarray, present: np.ndarray) -> np.ndarray:
    pick = PICKS[name](np.full(values.shape[1], LEAST), PHASE_ONE)
    return np.stack([pick.step(row, there) for row, there in zip(values, present, strict=True)])


def naive_prometheus_z(values: list[float], present: list[bool], at: int) -> float:
    past = [v for v, p in zip(values[max(0, at - HOUR) : at], present[max(0, at - HOUR) : at], strict=True) if p]
    if not present[at] or len(past) < HOUR // 2:
        return -math.inf
    mean = sum(past) / len(past)
    spread = math.sqrt(sum((v - mean) ** 2 for v in past) / len(past))
    return abs(values[at] - mean) / max(spread, LEAST)


def naive_shewhart_mad(values: list[float], present: list[bool], at: int) -> float:
    renewed = at // REFRESH * REFRESH
    if not present[at] or at + 1 <= HOUR + REFRESH:
        return -math.inf
    kept, last = [], 0.0
    for value, there in zip(values[:renewed], present[:renewed], strict=True):
        last = value if there else last
        kept.append(last)
    middle = float(np.median(kept[-HOUR:]))
    spread = 1.4826 * float(np.median([abs(v - middle) for v in kept[-HOUR:]]))
    return abs(values[at] - middle) / max(spread, LEAST)


def standardised(values: list[float], present: list[bool]) -> list[float]:
    first = [v for v, p in zip(values[:PHASE_ONE], present[:PHASE_ONE], strict=True) if p]
    spread = max(float(np.std(first, ddof=1)), LEAST)
    return [(v - float(np.mean(first))) / spread for v in values]


def naive_ewma_chart(values: list[float], present: list[bool], at: int) -> float:
    if not present[at] or at < PHASE_ONE:
        return -math.inf
    smoothed = 0.0
    for z, there in zip(standardised(values, present)[PHASE_ONE : at + 1], present[PHASE_ONE : at + 1], strict=True):
        smoothed += EWMA_WEIGHT * (z - smoothed) if there else 0.0
    return abs(smoothed) / math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))


def naive_cusum(values: list[float], present: list[bool], at: int) -> float:
    if not present[at] or at < PHASE_ONE:
        return -math.inf
    up = down = 0.0
    for z, there in zip(standardised(values, present)[PHASE_ONE : at + 1], present[PHASE_ONE : at + 1], strict=True):
        if there:
            up, down = max(0.0, up + z - CUSUM_SLACK), max(0.0, down - z - CUSUM_SLACK)
    return max(up, down)


def naive_absent(values: list[float], present: list[bool], at: int) -> float:
    missing = 0
    while missing <= at and not present[at - missing]:
        missing += 1
    return missing


def naive_unchanged(values: list[float], present: list[bool], at: int) -> float:
    if not present[at]:
        return -math.inf
    seen = [v for v, p in zip(values[: at + 1], present[: at + 1], strict=True) if p]
    return next((n for n in range(1, len(seen)) if seen[-1 - n] != seen[-1]), len(seen)) - 1


NAIVE = {
    "prometheus_z": naive_prometheus_z,
    "shewhart_mad": naive_shewhart_mad,
    "ewma_chart": naive_ewma_chart,
    "cusum": naive_cusum,
    "absent": naive_absent,
    "unchanged": naive_unchanged,
}


def test_every_chart_has_an_oracle() -> None:
    assert NAIVE.keys() == PICKS.keys()


@pytest.mark.parametrize("name", PICKS)
@pytest.mark.parametrize("seed", range(2))
def test_charts_are_what_the_textbook_says(name: str, seed: int) -> None:
    values, present = series(seed)
    found = score(name, values, present)
    for column in range(values.shape[1]):
        told = values[:, column].tolist(), present[:, column].tolist()
        expected = [NAIVE[name](*told, at) for at in range(WINDOWS)]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-4)


def naive_alerts(scores: np.ndarray, limit: float) -> int:
    alerts = 0
    for kind in range(scores.shape[1]):
        for one in range(scores.shape[2]):
            last = -math.inf
            for window in range(len(scores)):
                if scores[window, kind, one] > limit:
                    alerts += window - last > CALM
                    last = window
    return alerts


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 6))
@settings(deadline=None)
def test_the_limit_is_lowered_as_long_as_it_alerts_rarely_enough(seed: int, allowed: int, missing: int) -> None:
    chance = np.random.default_rng(seed)
    scores = np.round(chance.exponential(2, (12, 2, 5)), 1).astype(np.float32)  # many are equal
    scores.reshape(-1)[chance.choice(scores.size, missing)] = -np.inf
    limits = Limits(np.array([allowed, 1]), allowed + 1)
    for window in scores:
        limits.add(window)
    levels = np.unique(scores[np.isfinite(scores)])
    for found, part, most in (
        (limits.of_all(), scores, allowed + 1),
        (limits.by_kind()[0], scores[:, :1], allowed),
        (limits.by_kind()[1], scores[:, 1:], 1),
    ):
        few_enough = takewhile(lambda level: naive_alerts(part, level) <= most, levels[::-1])  # noqa: B023 - used at once
        assert found == list(few_enough)[-1]
