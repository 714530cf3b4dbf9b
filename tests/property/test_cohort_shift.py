"""The chart of cohorts does for all of them at once what a plain loop does for one; and what cohorts lead to follows from what was said."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors.cohort_shift import (
    CAUTION,
    CLIP,
    FADES,
    HOUR_MEMORY,
    HOURS,
    LEAST_UNIT,
    MEMORY,
    MOST_ALIKE,
    REFERENCE,
    SETTLED,
    Chart,
    Common,
    Sites,
    When,
    common,
    fresh,
    rarity,
    step,
    threshold,
)

DISTANCES = st.floats(-2, 2, allow_nan=False)
SITE = st.lists(DISTANCES, min_size=1, max_size=5)
COHORT = st.lists(SITE, min_size=1, max_size=6)
SLOT = st.tuples(COHORT, st.integers(0, HOURS - 1), st.booleans())


def plain_common(cohort: list[list[float]]) -> dict[str, float]:
    means = [sum(site) / len(site) for site in cohort]
    shift = median(means)
    squares = sum((one - mean) ** 2 for site, mean in zip(cohort, means, strict=True) for one in site)
    devices = sum(map(len, cohort))
    return {
        "sites": len(cohort),
        "devices": devices,
        "shift": shift,
        "between": (1.4826 * median(abs(mean - shift) for mean in means)) ** 2,
        "within": squares / max(devices - len(cohort), 1),
        "few": sum(1 / len(site) for site in cohort) / len(cohort),
    }


class Plain:
    """One cohort's chart, a slot at a time."""

    def __init__(self) -> None:
        self.usual, self.slots = [0.0] * HOURS, [0] * HOURS
        self.variance = self.echo = self.last = self.between = self.within = 0.0
        self.above = self.below = self.run = self.peak = 0.0
        self.waiting: list[tuple[float, float]] = []
        self.seen = 0

    def step(self, now: dict[str, float], hour: int, hold: float) -> float:
        spread = max(self.between, now["between"]) + max(self.within, now["within"]) * now["few"]
        error = 1.2533 * math.sqrt(spread / now["sites"])
        alike = self.echo / max(self.variance, 1e-30) + 1 / math.sqrt(self.seen + 1)
        alike = min(max(alike, 0.0), MOST_ALIKE)
        unit = max(math.sqrt(self.variance), error, LEAST_UNIT) * math.sqrt((1 + alike) / (1 - alike))
        usual = self.usual[hour]
        if not self.slots[hour]:
            pairs = zip(self.usual, self.slots, strict=True)
            usual = sum(one * slots for one, slots in pairs) / max(sum(self.slots), 1) if self.seen else now["shift"]
        distance = min(max((now["shift"] - usual) / unit, -CLIP), CLIP)
        if self.seen >= SETTLED:
            self.above = max(self.above + distance - REFERENCE, 0.0)
            self.below = max(self.below - distance - REFERENCE, 0.0)
        self.waiting.append(((distance * unit) ** 2, distance * unit * self.last))
        weight = max(1 / (self.seen + 2), 1 / MEMORY)
        if max(self.above, self.below) <= hold:
            of_run = 1 - (1 - weight) ** len(self.waiting)
            self.variance += of_run * (sum(one for one, _ in self.waiting) / len(self.waiting) - self.variance)
            self.echo += of_run * (sum(one for _, one in self.waiting) / len(self.waiting) - self.echo)
            usual += max(1 / (self.slots[hour] + 2), 1 / HOUR_MEMORY) * distance * unit
            self.waiting = []
        self.usual[hour] = usual
        self.last, self.seen = distance * unit, self.seen + 1
        self.slots[hour] += 1
        self.between += weight * (now["between"] - self.between)
        self.within += weight * (now["within"] - self.within)
        highest = max(self.above, self.below)
        if highest == 0.0:
            self.peak, self.run = max(self.peak, self.run), 0.0
        self.run = max(self.run, highest)
        self.peak *= FADES
        return distance


@given(st.lists(COHORT, min_size=1, max_size=5))
def test_what_sites_have_in_common_is_that_of_a_loop(cohorts: list[list[list[float]]]) -> None:
    found = common(_sites(cohorts), len(cohorts))
    for at, cohort in enumerate(cohorts):
        for name, number in plain_common(cohort).items():
            assert getattr(found, name)[at] == pytest.approx(number, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(SLOT, SLOT), min_size=1, max_size=60), st.sampled_from([0.5, 3.0, math.inf]))
def test_a_chart_is_that_of_a_loop(slots: list[tuple[tuple[list[list[float]], int, bool], ...]], hold: float) -> None:
    chart, plain = fresh(2), [Plain(), Plain()]
    chart, plain[1].seen = chart._replace(seen=np.array([0.0, SETTLED - 5])), SETTLED - 5
    for both in slots:
        hour = both[0][1]
        learns = np.array([slot[2] for slot in both])
        found = step(chart, common(_sites([slot[0] for slot in both]), 2), When(hour, learns, np.full(2, hold)))
        chart = found.chart
        for at, (cohort, _, is_learned) in enumerate(both):
            if is_learned:
                distance = plain[at].step(plain_common(cohort), hour, hold)
                assert found.distance[at] == pytest.approx(distance, abs=1e-6)
            _assert_same(chart, at, plain[at])


@given(st.floats(1e-12, 1e-2))
def test_the_threshold_is_the_sum_that_is_as_rare_as_asked_for(asked: float) -> None:
    assert math.exp(-rarity(threshold(asked))) == pytest.approx(asked, rel=1e-6)


def test_sums_of_normal_slots_reach_the_threshold_less_often_than_asked_for() -> None:
    chance, asked, cohorts, slots = np.random.default_rng(1), 1e-3, 400, 500
    nothing = np.zeros(cohorts)
    known = fresh(cohorts)._replace(variance=np.ones(cohorts), seen=np.full(cohorts, 1e6))
    reached = 0
    for _ in range(slots):
        now = Common(np.full(cohorts, 5), nothing, chance.normal(size=cohorts), nothing, nothing, nothing)
        found = step(known, now, When(0, np.ones(cohorts, np.bool_), np.full(cohorts, np.inf)))
        over = found.highest >= threshold(asked) / CAUTION
        reached += int(over.sum())
        sums = {name: np.where(over, 0.0, getattr(found.chart, name)) for name in ("above", "below")}
        known = known._replace(**sums)
    assert 0 < reached <= 1.2 * asked * cohorts * slots


def _sites(cohorts: list[list[list[float]]]) -> Sites:
    rows = [(at, site) for at, cohort in enumerate(cohorts) for site in cohort]
    return Sites(
        np.array([at for at, _ in rows]),
        np.array([float(len(site)) for _, site in rows]),
        np.array([sum(site) for _, site in rows]),
        np.array([sum(one * one for one in site) for _, site in rows]),
    )


def _assert_same(chart: Chart, at: int, plain: Plain) -> None:
    for name in ("variance", "echo", "last", "between", "within", "above", "below", "run", "peak", "seen"):
        assert getattr(chart, name)[at] == pytest.approx(getattr(plain, name), abs=1e-6)
    assert chart.usual[:, at] == pytest.approx(plain.usual, abs=1e-6)
    assert chart.run_slots[at] == len(plain.waiting)
