"""How often quiet cohorts alarm, beside how often they may: drawn shifts of sites, thousands of slots of many cohorts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from analytics.cohorts.alarms import Slot, decide, no_alarms
from analytics.detect.round import Change
from analytics.detectors.cohort_shift import HOURS, LEAST_SLOTS, Sites, fresh, threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COHORTS, SITES, DEVICES, SLOTS = 200, 5, 4, 1200
LIKE_BEFORE = 0.127
"""A mean of 16 windows, 32 windows later."""
SLOTS_A_DAY = 45
"""Of windows of a minute."""


class Drawn:
    """Where the devices of each cohort and site are, slot after slot: shape (cohorts, sites, devices).

    In scales: the spread of their own `noise`, and of how far they `wander` for hours; how likely a `shock` of a site's own begins
    in a slot; half of a day's `swing`.
    """

    def __init__(self, seed: int, noise: float, wander: float, shock: float, swing: float) -> None:
        self._chance, self._noise, self._wander = np.random.default_rng(seed), noise, wander
        self._shock, self._swing = shock, swing
        self._mean, self._far = np.zeros((2, COHORTS, SITES, DEVICES))
        self._shocked = np.zeros((COHORTS, SITES, 1))
        self._phase = self._chance.integers(0, HOURS, (COHORTS, 1, 1))

    def next(self, hour: int) -> Floats:
        self._mean = _after(self._mean, LIKE_BEFORE, self._noise, self._chance)
        self._far = _after(self._far, 0.9, self._wander, self._chance)
        begun = self._chance.random(self._shocked.shape) < self._shock
        self._shocked = LIKE_BEFORE * self._shocked + begun * self._chance.gamma(4.0, 1.0, self._shocked.shape)
        day = self._swing * np.sin(2 * np.pi * (hour + self._phase) / HOURS)
        drawn: Floats = np.clip(self._mean + self._far + np.minimum(self._shocked, 2.0) + day, -2.0, 2.0)
        return drawn


def alarms(drawn: Drawn, asked: float) -> tuple[int, int]:
    """How many alarms began in how many slots of cohorts that were looked at."""
    chart, alarm, begun, judged = fresh(COHORTS), no_alarms(COHORTS), 0, 0
    of = np.repeat(np.arange(COHORTS), SITES)
    for slot in range(SLOTS):
        hour, speak = slot * HOURS // SLOTS_A_DAY % HOURS, chart.seen >= max(LEAST_SLOTS, 2 * SLOTS_A_DAY)
        now = drawn.next(hour)
        said = Sites(of, np.full(len(of), float(DEVICES)), now.sum(axis=2).ravel(), (now * now).sum(axis=2).ravel())
        found = decide(chart, alarm, said, Slot(slot, hour, threshold(asked), speak, 24))
        chart, alarm = found.chart, found.alarm
        begun += int((found.change == Change.ENTERED).sum())
        judged += int(speak.sum())
    return begun, judged


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("noise", (1, 0.18, 0.0, 0.0, 0.0)),
        ("loud noise", (2, 0.8, 0.0, 0.0, 0.0)),
        ("each device wanders", (3, 0.18, 0.5, 0.0, 0.0)),
        ("a day's swing", (4, 0.18, 0.0, 0.0, 0.8)),
        ("shocks of sites", (5, 0.18, 0.0, 0.1, 0.0)),
    ],
)
@pytest.mark.parametrize("asked", [1e-3, 1e-5])
def test_quiet_cohorts_alarm_no_more_often_than_asked_for(
    name: str, drawn: tuple[int, float, float, float, float], asked: float
) -> None:
    begun, judged = alarms(Drawn(*drawn), asked)
    print(f"{name}, asked for {asked:g}: {begun} alarms in {judged:,} slots")  # noqa: T201 - told in the documents
    assert judged > 0.9 * COHORTS * SLOTS
    assert begun <= max(asked * judged, 3.0)


def _after(before: Floats, like: float, size: float, chance: np.random.Generator) -> Floats:
    after: Floats = like * before + np.sqrt(1 - like**2) * chance.normal(0.0, size, before.shape)
    return after
