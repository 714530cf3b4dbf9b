"""A metric that stops while its device talks on is told; a device that is silent as a whole is not told here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Decision, Engine
from analytics.detect.merge import Detector
from analytics.detect.round import Change
from tests.detect_fleet import Fleet, run
from tests.rollup_batches import T0

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = DetectConfig(continues_s=20.0, rebaseline_s=60.0)
QUIET, DEVICES = 300, 30
METRICS = ("load", "heat")


def noise(windows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(40, 0.3, (windows, DEVICES, 2))


def told(decisions: Sequence[Decision]) -> list[tuple[str, str, Change, int]]:
    return [(d.device.device, d.metric.name, d.change, (d.at - T0) // 1000 - 1) for d in decisions]


def test_a_metric_that_stops_is_told_and_its_return_ends_it() -> None:
    values = noise(QUIET + 60)
    values[QUIET : QUIET + 40, 3, 1] = np.nan
    decisions = run(Engine(CONFIG), Fleet(DEVICES, METRICS).batches(values))
    (_, _, entered, first), (_, _, goes_on, second), (_, _, ended, last) = told(decisions)
    assert (entered, goes_on, ended) == (Change.ENTERED, Change.CONTINUES, Change.CALMED)
    assert QUIET + 4 <= first <= QUIET + 10
    assert second == first + 20
    assert last == QUIET + 39  # until then it was missed
    assert {(d.device.device, d.metric.name, d.detector) for d in decisions} == {("d3", "heat", Detector.SILENCE)}
    assert (decisions[0].since - T0) // 1000 == QUIET
    assert 0 < decisions[0].tail_probability <= decisions[0].asked_probability
    assert decisions[0].attributes.firmware == "2.2.0"


def test_a_metric_that_never_comes_back_is_given_up_once() -> None:
    values = noise(QUIET + 300)
    values[QUIET:, 3, 1] = np.nan
    engine = Engine(CONFIG)
    decisions = run(engine, Fleet(DEVICES, METRICS).batches(values))
    assert [d.change for d in decisions][-1] is Change.NEW_NORMAL
    assert [d.change for d in decisions].count(Change.ENTERED) == 1
    assert (decisions[-1].at - T0) // 1000 == QUIET + 60
    assert len(engine.alarms) == 0


def test_a_device_that_is_silent_as_a_whole_is_its_leases_business() -> None:
    values = noise(QUIET + 100)
    values[QUIET : QUIET + 50, 3] = np.nan
    assert run(Engine(CONFIG), Fleet(DEVICES, METRICS).batches(values)) == []


def test_what_is_sent_every_tenth_window_is_not_missed() -> None:
    values = noise(2000)
    values[np.arange(2000) % 10 > 0, :, 1] = np.nan
    assert run(Engine(CONFIG), Fleet(DEVICES, METRICS).batches(values)) == []


def test_metrics_that_come_in_batches_of_their_own_are_not_missed() -> None:
    values, engine = noise(QUIET + 60), Engine(CONFIG)
    values[QUIET:, 3, 1] = np.nan
    fleet, entered = Fleet(DEVICES, METRICS), []
    for window in range(len(values)):
        for metric in range(2):
            alone = np.full((DEVICES, 2), np.nan)
            alone[:, metric] = values[window, :, metric]
            entered += [d for d in engine.step(fleet.batch(alone, window)) if d.change is Change.ENTERED]
    assert [(d.device.device, d.metric.name) for d in entered] == [("d3", "heat")]


def test_a_restart_in_the_middle_says_the_same() -> None:
    values = noise(QUIET + 120)
    values[QUIET : QUIET + 40, 3, 1] = np.nan
    values[QUIET + 5 :, 4, 0] = np.nan
    fleet, engine = Fleet(DEVICES, METRICS), Engine(CONFIG)
    expected = run(Engine(CONFIG), fleet.batches(values))
    found = []
    for window, batch in enumerate(fleet.batches(values)):
        if window % 7 == 0:
            dumped, engine = engine.dump(), Engine(CONFIG)
            engine.load(dumped)
        found += engine.step(batch)
    assert found == expected
    assert len(told(found)) > 3
