"""Small lasting shifts, slow drift and a wider spread are told, where single windows say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Decision, Engine
from analytics.detect.merge import Detector
from analytics.detect.round import Change
from tests.detect_fleet import Fleet, run
from tests.rollup_batches import T0

CONFIG = DetectConfig(continues_s=1000.0)
QUIET, DEVICES = 2300, 100


def noise(windows: int, *, seed: int = 0, tails: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 40 + 0.3 * (rng.standard_t(tails, (windows, DEVICES)) if tails else rng.normal(0, 1, (windows, DEVICES)))


def told(values: np.ndarray) -> list[Decision]:
    return run(Engine(CONFIG), Fleet(DEVICES).batches(values))


def windows(decisions: list[Decision], change: Change) -> list[int]:
    return [(d.at - T0) // 1000 - 1 for d in decisions if d.change is change]


@pytest.mark.parametrize("tails", [0.0, 3.0])
def test_a_small_shift_that_lasts_is_told_and_ends_soon_after_it(tails: float) -> None:
    values = noise(QUIET + 150, tails=tails)
    values[QUIET : QUIET + 60, 0] += 4 * 0.3
    decisions = told(values)
    assert {(d.device.device, d.detector) for d in decisions if d.change is Change.ENTERED} == {("d0", Detector.DRIFT)}
    (entered,), (left,) = windows(decisions, Change.ENTERED), windows(decisions, Change.CALMED)
    assert QUIET + 4 <= entered <= QUIET + 50
    assert QUIET + 60 <= left <= QUIET + 90
    assert 0 < decisions[0].tail_probability <= decisions[0].asked_probability


def test_a_slow_drift_is_told() -> None:
    values = noise(QUIET + 150)
    values[QUIET:, 0] += 0.05 * 0.3 * np.arange(150)
    (entered,) = windows(told(values), Change.ENTERED)
    assert QUIET + 20 <= entered <= QUIET + 120


def test_a_wider_spread_is_told() -> None:
    values = noise(QUIET + 80)
    values[QUIET:, 0] = 40 + 4.0 * (values[QUIET:, 0] - 40)
    first = told(values)[0]
    assert (first.device.device, first.change) == ("d0", Change.ENTERED)
    assert first.detector in {Detector.UNREST, Detector.LEVEL}


def test_one_far_outlier_is_no_drift() -> None:
    values = noise(QUIET + 80)
    values[QUIET, :25] += 1000.0
    assert {d.detector for d in told(values)} <= {Detector.NOVELTY}
