"""A value that hangs is told; one that hardly ever changes is not."""

from __future__ import annotations

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.merge import Detector
from analytics.detect.round import Change
from ingest.contract.batch import MetricRow
from tests.detect_fleet import Fleet, run
from tests.rollup_batches import T0

CONFIG = DetectConfig(continues_s=1000.0, rebaseline_s=60.0)
QUIET, DEVICES = 300, 30


def noise(windows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(40, 0.3, (windows, DEVICES))


def told(values: np.ndarray, fleet: Fleet | None = None) -> list[tuple[str, Change, int]]:
    decisions = run(Engine(CONFIG), (fleet or Fleet(DEVICES)).batches(values))
    stuck = {d.device for d in decisions if d.change is Change.ENTERED and d.detector is Detector.STUCK}
    return [(d.device.device, d.change, (d.at - T0) // 1000 - 1) for d in decisions if d.device in stuck]


def test_a_sensor_that_hangs_is_told_once_and_taken_for_normal_in_time() -> None:
    values = noise(QUIET + 200)
    values[QUIET:, 0] = values[QUIET, 0]
    entered, normal = told(values)
    assert entered[:2] == ("d0", Change.ENTERED)
    assert QUIET + 10 <= entered[2] <= QUIET + 30
    assert normal == ("d0", Change.NEW_NORMAL, entered[2] + 60 - (entered[2] - QUIET))


def test_it_is_over_when_it_moves_again_and_the_event_says_since_when_it_hung() -> None:
    values = noise(QUIET + 60)
    values[QUIET : QUIET + 40, 0] = values[QUIET, 0]
    decisions = run(Engine(CONFIG), Fleet(DEVICES).batches(values))
    assert [d.change for d in decisions] == [Change.ENTERED, Change.CALMED]
    assert (decisions[0].since - T0) // 1000 == QUIET + 1  # the first window that repeated the one before
    assert (decisions[1].at - T0) // 1000 - 1 == QUIET + 42
    assert 0 < decisions[0].tail_probability <= decisions[0].asked_probability


def test_a_counter_that_stands_still_is_told() -> None:
    fleet = Fleet(DEVICES)
    fleet.metrics = [MetricRow("m", kind="counter")]
    growth = np.random.default_rng(0).normal(100, 10, (QUIET + 40, DEVICES))
    growth[QUIET:, 0] = 0.0
    (entered,) = [one for one in told(np.cumsum(growth, axis=0), fleet) if one[1] is Change.ENTERED]
    assert entered[0] == "d0"


def test_what_hardly_ever_changes_is_not_stuck() -> None:
    rng = np.random.default_rng(0)
    values = noise(QUIET + 500)
    values[:, :10] = np.cumsum(rng.random((QUIET + 500, 10)) < 0.02, axis=0) % 2 + 40.0
    values[:, 10] = 40.0
    assert told(values) == []


def test_runs_as_long_as_they_have_always_been_are_normal() -> None:
    rng = np.random.default_rng(0)
    held = np.repeat(rng.normal(40, 0.3, (150, DEVICES)), 20, axis=0)
    assert told(held) == []


def test_samples_that_differ_within_a_window_are_not_stuck() -> None:
    fleet, engine, values = Fleet(DEVICES), Engine(CONFIG), noise(QUIET + 60)
    for window, batch in enumerate(fleet.batches(values)):
        if window >= QUIET:
            batch.columns["last"][:] = 40.0
        assert engine.step(batch) == []
