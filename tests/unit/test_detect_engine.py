"""What detection says, and what it keeps silent about."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Decision, Engine
from analytics.detect.merge import Detector
from analytics.detect.round import Change
from ingest.contract.batch import MetricRow
from tests.detect_fleet import Fleet, run
from tests.rollup_batches import T0, Row, make_batch

CONFIG = DetectConfig(continues_s=3.0)
QUIET = 60


def noise(windows: int, devices: int = 20, *, seed: int = 0, level: float = 40.0, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(level, scale, (windows, devices))


def changes(decisions: list[Decision], device: str = "d0") -> list[tuple[Change, int]]:
    """(change, number of the window) of one device."""
    return [(d.change, (d.at - T0) // 1000 - 1) for d in decisions if d.device.device == device]


def test_a_climb_enters_within_a_few_windows_and_leaves_after_the_reboot() -> None:
    values = noise(120)
    values[QUIET : QUIET + 18, 0] += 3.0 * np.arange(1, 19)  # a leak of 3 % a second, until the device reboots
    decisions = run(Engine(CONFIG), Fleet(20).batches(values))
    seen = changes(decisions)
    assert seen[0][0] is Change.ENTERED
    assert QUIET <= seen[0][1] <= QUIET + 3
    assert seen[-1][0] is Change.CALMED
    assert QUIET + 18 <= seen[-1][1] <= QUIET + 21
    assert [change for change, _ in seen[1:-1]] == [Change.CONTINUES] * len(seen[1:-1])
    assert np.diff([window for _, window in seen[:-1]]).tolist() == [3] * (len(seen) - 2)
    assert {decision.device.device for decision in decisions} == {"d0"}


def test_the_numbers_say_what_was_seen_and_since_when() -> None:
    values = noise(QUIET + 5)
    values[QUIET:, 0] += 20
    entered = run(Engine(CONFIG), Fleet(20).batches(values))[0]
    assert entered.at - entered.since == 1000
    assert entered.value == pytest.approx(60, abs=2)
    assert entered.expected == pytest.approx(40, abs=0.5)
    assert entered.scale == pytest.approx(0.3, rel=0.8)
    assert 0 <= entered.tail_probability <= entered.asked_probability
    assert entered.asked_probability == pytest.approx(0.1 / 1000 / 86_400)
    assert entered.pooled
    assert (entered.device.site, entered.metric.name) == ("plant-7", "m")


def test_one_outlying_window_is_no_anomaly() -> None:
    values = noise(200)
    values[QUIET::20, 0] += 1000
    assert run(Engine(CONFIG), Fleet(20).batches(values)) == []


def test_a_new_series_is_silent_until_it_was_seen_enough() -> None:
    values = noise(QUIET + CONFIG.min_windows - 3, 21)
    values[:QUIET, 20] = np.nan  # a device that comes late, to a cohort that is known
    values[QUIET + 4 :, 20] += 50
    assert run(Engine(CONFIG), Fleet(21).batches(values)) == []


def test_what_only_grows_is_judged_by_its_rate() -> None:
    uptime = np.arange(200.0)[:, None] + np.random.default_rng(0).random(20)
    uptime[150:, 0] -= uptime[150, 0]  # a reboot
    assert run(Engine(CONFIG), Fleet(20, ("uptime_s",)).batches(np.round(uptime, 1))) == []
    sent = np.cumsum(np.random.default_rng(1).normal(1000, 30, (200, 20)), axis=0)
    sent[150:, 0] += 20_000 * np.arange(50)
    decisions = run(Engine(CONFIG), Fleet(20, ("bytes_sent",)).batches(sent))
    assert changes(decisions)[0][0] is Change.ENTERED
    assert decisions[0].rated
    assert {decision.device.device for decision in decisions} == {"d0"}


def test_a_declared_counter_may_fall_and_a_state_is_not_looked_at() -> None:
    fleet = Fleet(20, ("packets", "mode"))
    fleet.metrics = [MetricRow("packets", kind="counter"), MetricRow("mode", kind="state")]
    values = np.empty((200, 20, 2))
    values[:, :, 0] = np.cumsum(np.full((200, 20), 10.0), axis=0) % 500  # resets every fifty windows
    values[:, :, 1] = np.where(np.arange(200)[:, None] < 150, 1.0, 900.0)
    engine = Engine(CONFIG)
    assert run(engine, fleet.batches(values)) == []
    assert engine.counts["silent"] >= 200 * 20


@pytest.mark.parametrize(("level", "step"), [(20.0, 0.1), (0.0, 1.0), (3.0, 1.0), (101_325.0, 1.0), (33.3333333, 1e-4)])
def test_a_constant_series_may_change_by_one_step(level: float, step: float) -> None:
    values = np.full((150, 20), level)
    values[QUIET:, 0] += step
    assert run(Engine(CONFIG), Fleet(20).batches(values)) == []


def test_a_constant_series_that_jumps_far_is_an_anomaly() -> None:
    values = np.full((QUIET + 10, 20), 0.0)
    values[QUIET:, 0] += 5000.0
    assert changes(run(Engine(CONFIG), Fleet(20).batches(values)))[0] == (Change.ENTERED, QUIET + 1)


def test_windows_of_fewer_samples_may_spread_more() -> None:
    rng, fleet, engine = np.random.default_rng(0), Fleet(20), Engine(CONFIG)
    for window in range(300):
        samples = 1 if window % 7 == 0 or window % 7 == 1 else 100
        values = rng.normal(40, 1 / np.sqrt(samples), (20, 1))
        assert engine.step(fleet.batch(values, window, samples=samples)) == []


def test_backlog_and_corrections_neither_alarm_nor_teach() -> None:
    values, fleet = noise(QUIET + 40), Fleet(20)
    engine, untouched = Engine(CONFIG), Engine(CONFIG)
    run(engine, fleet.batches(values[:QUIET]))
    run(untouched, fleet.batches(values[:QUIET]))
    far = np.full((20, 1), 4000.0)
    for window in range(QUIET):
        assert engine.step(fleet.batch(far, window)) == []
        assert engine.step(fleet.batch(far, window, revision=1)) == []
        assert engine.step(fleet.batch(far, QUIET + window, historical=True)) == []
    assert engine.dump() == untouched.dump()
    assert engine.counts["late"] == engine.counts["revised"] == engine.counts["historical"] == 20 * QUIET


def test_an_alarm_that_lasts_becomes_the_new_normal_once() -> None:
    config = DetectConfig(continues_s=1000.0, rebaseline_s=100.0)
    values = noise(400)
    values[QUIET:, 0] += 20
    seen = changes(run(Engine(config), Fleet(20).batches(values)))
    assert [change for change, _ in seen] == [Change.ENTERED, Change.NEW_NORMAL]
    assert seen[1][1] - seen[0][1] in {99, 100}


def test_nothing_is_learned_while_an_alarm_lasts() -> None:
    values = noise(400)
    values[QUIET:360, 0] += 20
    seen = changes(run(Engine(DetectConfig(continues_s=1000.0)), Fleet(20).batches(values)))
    assert seen == [(Change.ENTERED, QUIET + 1), (Change.CALMED, 362)]


def test_silence_ends_no_alarm() -> None:
    values = noise(300)
    values[QUIET:100, 0] += 20
    values[100:200, 0] = np.nan
    values[200:220, 0] += 20
    seen = changes(run(Engine(DetectConfig(continues_s=1000.0)), Fleet(20).batches(values)))
    assert seen == [(Change.ENTERED, QUIET + 1), (Change.CALMED, 222)]


def test_a_series_that_was_silent_for_long_is_learned_anew() -> None:
    values = noise(400)
    values[QUIET:200, 0] = np.nan
    values[200:, 0] += 20
    assert run(Engine(DetectConfig(relearn_after_s=100.0)), Fleet(20).batches(values)) == []


def test_a_series_that_is_alone_is_judged_by_its_own_past_and_says_what_that_can_promise() -> None:
    values = noise(600, 2)
    values[150:160, 0] += 20  # too early: what is known of the series is too little
    values[550:, 1] += 20
    (entered, *_) = decisions = run(Engine(CONFIG), Fleet(2).batches(values))
    assert changes(decisions, "d0") == []
    assert changes(decisions, "d1")[0] == (Change.ENTERED, 550)
    assert not entered.pooled
    assert entered.detector is Detector.NOVELTY
    assert entered.promised_rate == pytest.approx(2 / 552 * 1000 * 86_400)
    assert entered.tail_probability < entered.asked_probability


def test_those_who_are_alone_are_pooled_with_each_other() -> None:
    values = noise(200, 60)
    values[150:, 1] += 20
    fleet = Fleet(60, hardware=[f"one-off-{n}" for n in range(60)])
    entered = run(Engine(CONFIG), fleet.batches(values))[0]
    assert (entered.device.device, entered.pooled, entered.detector) == ("d1", True, Detector.LEVEL)


def test_the_first_shock_that_all_like_devices_share_is_no_alarm_of_each() -> None:
    rng = np.random.default_rng(4)
    values = noise(200, 200)
    values[120:130, 7] += 30.0
    values[160:165] += rng.lognormal(0.0, 0.3, 200) * 6  # twenty scales and more, all of them, unequally
    entered = [d for d in run(Engine(CONFIG), Fleet(200).batches(values)) if d.change is Change.ENTERED]
    assert [(d.device.device, (d.at - T0) // 1000 - 1) for d in entered] == [("d7", 121)]


def test_cohorts_are_by_hardware_and_a_device_may_change_it() -> None:
    rng, fleet = np.random.default_rng(0), Fleet(40, hardware=("quiet", "wild"))
    engine = Engine(CONFIG)
    for window in range(150):
        values = rng.normal(40, 1, (40, 1))
        values[1::2, 0] += (rng.random(20) < 0.2) * 300  # ordinary for wild devices
        assert engine.step(fleet.batch(values, window)) == []
    fleet.devices[1::2] = [device.__class__(device.device, hardware="quiet") for device in fleet.devices[1::2]]
    for window in range(150, 160):
        assert engine.step(fleet.batch(rng.normal(40, 1, (40, 1)), window)) == []


def test_an_alarm_ends_although_the_device_has_become_another_kind() -> None:
    values, fleet, engine = noise(QUIET + 30), Fleet(20), Engine(CONFIG)
    values[QUIET : QUIET + 10, 0] += 20
    decisions = run(engine, fleet.batches(values[: QUIET + 5]))
    fleet.devices[0] = fleet.devices[0].__class__("d0", hardware="rev-c")
    decisions += run(engine, fleet.batches(values[QUIET + 5 :], QUIET + 5))
    assert changes(decisions)[-1] == (Change.CALMED, QUIET + 12)


def test_tenants_share_nothing() -> None:
    fleet, engine = Fleet(20), Engine(CONFIG)
    ours, theirs = (fleet.batch(noise(1).T, 0).origin._replace(tenant=tenant) for tenant in ("ours", "theirs"))
    values = noise(QUIET + 10)
    wild = np.random.default_rng(9).standard_cauchy((QUIET + 10, 20))
    found = []
    for window in range(QUIET + 10):
        engine.step(fleet.batch(wild[window][:, None], window, origin=theirs))
        row = values[window][:, None] + (20 * (window >= QUIET)) * (np.arange(20) == 0)[:, None]
        found += engine.step(fleet.batch(row, window, origin=ours))
    assert found[0].device.tenant == "ours"
    assert found[0].at == T0 + (QUIET + 2) * 1000


def test_more_series_than_there_is_room_for_are_counted_and_harm_nobody() -> None:
    engine, values = Engine(DetectConfig(max_series=20)), noise(QUIET + 5)
    values[QUIET:, 0] += 20
    run(engine, Fleet(20).batches(values[:QUIET]))
    flood = [Row(f"x{number}", "flood", start=T0 + QUIET * 1000, width=1000, values=(1.0,)) for number in range(500)]
    assert engine.step(make_batch(flood)) == []
    assert engine.counts["too_many_series"] == 500
    assert changes(run(engine, Fleet(20).batches(values[QUIET:], QUIET)))[0] == (Change.ENTERED, QUIET + 1)


@pytest.mark.parametrize("extreme", [1e150, -1e150, 5e-324])
def test_extreme_numbers_are_numbers(extreme: float) -> None:
    values = noise(QUIET + 20)
    values[QUIET : QUIET + 5, 0] = extreme
    values[::3, 1] = extreme
    decisions = run(Engine(CONFIG), Fleet(20).batches(values))
    assert changes(decisions)[0] == (Change.ENTERED, QUIET + 1)
    assert all(np.isfinite([d.value, d.expected, d.scale, d.tail_probability]).all() for d in decisions)
