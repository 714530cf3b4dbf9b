"""The simulated fleets: that they are what they say they are, and that what is measured on them is what happened."""

from __future__ import annotations

import numpy as np
import pytest

from compose.bench.detect.fleet import (
    BURSTS,
    COUNTER,
    DAILY,
    DAY,
    GAUSSIAN,
    KINDS,
    SHOCKS,
    STEPS,
    STUDENT,
    Site,
    sites_of,
)
from compose.bench.detect.fleet_batches import T0, WIDTH, Gateway
from compose.bench.detect.fleet_faults import FAULTS, NAMES, Faults
from compose.bench.detect.fleet_found import FoundPlan, run_found
from compose.bench.detect.fleet_quiet import Quiet, QuietPlan, cohort_figures, quiet_figures, run_partition, run_quiet
from ingest.contract.batch_wire import decode_batch, encode_batch
from tests import cohort_world

DEVICES = 200


@pytest.fixture(scope="module")
def day() -> np.ndarray:
    """A day of one site in its series' own scales, shape (windows, kinds, devices)."""
    site = Site(7, 0, DEVICES)
    return np.stack([(site.next().values - site.level) / site.scale for _ in range(DAY)])


def correlation(values: np.ndarray, lag: int = 0) -> float:
    """Of the first device's values with the second's, or with its own `lag` windows before."""
    other = values[lag:, 0] if lag else values[:, 1]
    return float(np.corrcoef(values[: len(other), 0], other)[0, 1])


def test_a_fleet_follows_from_its_seed() -> None:
    one, same, other = (Site(seed, 3, 10).next() for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert not (one.values == other.values).any()
    assert sum(site.devices for site in sites_of(100_000, 1)) == round(100_000 / len(KINDS))
    assert len(sites_of(100_000, 1)) == 10


def test_kinds_are_what_they_are_called(day: np.ndarray) -> None:
    tail = {kind: float((np.abs(day[:, kind]) > 6).mean()) for kind in (GAUSSIAN, STUDENT, COUNTER)}
    assert tail[GAUSSIAN] == tail[COUNTER] == 0
    assert tail[STUDENT] == pytest.approx(0.0093, rel=0.15)  # P(|t| > 6), three degrees of freedom
    assert day[:, GAUSSIAN].std() == pytest.approx(1, rel=0.02)
    assert float((day[:, BURSTS] > 10).mean()) > 1e-4
    wave = np.abs(np.fft.rfft(day[:, DAILY], axis=0))
    assert (wave[1:].argmax(axis=0) == 0).all()  # once a day
    assert abs(correlation(day[:, GAUSSIAN], 1)) < 0.15
    assert correlation(day[:, DAILY], 1) > 0.8


def test_a_site_shares_its_shocks_and_nothing_else(day: np.ndarray) -> None:
    together = np.median(day, axis=2)
    assert float((together[:, SHOCKS] > 3).mean()) > 0.005
    assert float(np.abs(together[:, [GAUSSIAN, STUDENT, COUNTER]]).max()) < 0.6


def test_steps_are_whole_numbers_that_change_their_level() -> None:
    site = Site(7, 0, DEVICES)
    values = np.stack([site.next().values[STEPS] for _ in range(300)])
    assert (values == np.rint(values)).all()
    assert (np.median(values[:30], axis=0) != np.median(values[-30:], axis=0)).mean() > 0.3


def test_a_gateway_sends_what_a_decoder_takes() -> None:
    site = Site(7, 2, 200)
    gateway, totals = Gateway(site, 2), np.zeros(200)
    missed = 0
    for number in range(40):
        window = site.next()
        batch = gateway.batch(window, number)
        decoded = decode_batch(encode_batch(batch))
        missed += window.present.size - len(decoded)
        assert set(decoded.column("start").tolist()) == {T0 + number * WIDTH}
        totals = np.where(window.resets, 0, totals) + window.values[COUNTER]
        rows = decoded.column("metric") == COUNTER
        assert decoded.column("last")[rows].tolist() == totals[decoded.column("device")[rows]].tolist()
    assert 0 < missed < 0.01 * 40 * window.values.size
    assert decoded.metrics[COUNTER].kind == "counter"


def test_faults_change_their_series_while_they_last_and_nothing_else() -> None:
    scale, level = np.full((len(KINDS), 60), 2.0), 100.0
    faults = Faults(scale, 1, first=5, last=400, seed=1)
    assert len(faults) == len(KINDS) * len(NAMES) * 3 - 3
    assert len(set(zip(faults.kind.tolist(), faults.device.tolist(), strict=True))) == len(faults)
    site = Site(1, 0, 60)
    seen, there = np.empty((400, len(faults))), np.empty((400, len(faults)), np.bool_)
    for number in range(400):
        window = site.next()
        window.values[:] = level + 1e-3 * number
        window.present[:] = True
        faults.put(window, number)
        seen[number], there[number] = (array[faults.kind, faults.device] for array in window[:2])
        untouched = np.ones(window.values.shape, np.bool_)
        untouched[faults.kind, faults.device] = False
        assert (window.values[untouched] == level + 1e-3 * number).all()
        assert window.present[untouched].all()
    for number in range(len(faults)):
        name, amount = NAMES[faults.fault[number]], FAULTS[NAMES[faults.fault[number]]].sizes[faults.size[number]]
        during = np.arange(400)[faults.onset[number] : faults.end[number]]
        before_and_after = np.setdiff1d(np.arange(400), during)
        moved = seen[:, number] - (level + 1e-3 * np.arange(400))
        assert np.abs(moved[before_and_after]).max() < 1e-9
        assert there[before_and_after, number].all()
        assert len(during) == faults.windows[number]
        if name == "silence":
            assert not there[during, number].any()
        elif name == "stuck":
            held = 0.0 if faults.kind[number] == COUNTER else seen[during[0], number]
            assert (seen[during, number] == held).all()
        elif name == "variance":
            assert 0.5 * amount < moved[during].std() / 2.0 < 1.5 * amount
        elif name == "drift":
            assert np.abs(moved[during[-1]]) == pytest.approx(amount * 2.0 * len(during))
        else:
            assert np.abs(moved[during]) == pytest.approx(amount * 2.0)


def test_plain_noise_is_hardly_ever_cried_over() -> None:
    plan = QuietPlan(series=1_400, days=0.2, seed=3, partitions=1)
    quiet = run_partition(plan, 0)
    assert quiet.series == 1_400
    assert quiet.counts["judged"] > 0.9 * 1_400 * plan.windows
    assert quiet.alerts[:, [GAUSSIAN, STUDENT, COUNTER, DAILY]].sum() <= 1
    figures = run_quiet(plan)
    assert figures["quiet_alerts"] == quiet.alerts.sum()
    assert figures["quiet_rows"] == sum(quiet.counts[name] for name in ("judged", "silent"))


def test_rates_are_by_a_thousand_series_and_day() -> None:
    alerts = np.zeros((2, len(KINDS)), np.int64)
    alerts[0, GAUSSIAN], alerts[1, STEPS] = 7, 14
    parts = [Quiet(alerts, 3_500, {"judged": 90, "silent": 10}, 2.0)] * 2
    figures = quiet_figures(QuietPlan(series=7_000, days=2.0), parts)
    assert figures["false_alerts_per_1k_series_day"] == 42 / 7 / 2
    assert figures["false_alerts_by_kind"]["steps"] == 28 / 1 / 2
    assert figures["false_alerts_first_day"] == 14 / 7
    assert figures["false_alerts_after_first_day"] == 28 / 7
    assert figures["quiet_rows_per_core_second"] == 50


def test_cohorts_over_sites_of_all_partitions_are_looked_at() -> None:
    fleet = cohort_world.Fleet()
    said = [site.says(slot) for site in fleet.sites for slot in range(cohort_world.LEARNS)]
    assert cohort_figures(said) == {"quiet_cohorts": 2, "quiet_cohort_alerts": 0}
    fleet.shift(1.0)
    later = range(cohort_world.LEARNS, cohort_world.LEARNS + 10)
    said += [site.says(slot) for site in fleet.sites for slot in later]
    assert cohort_figures(said) == {"quiet_cohorts": 2, "quiet_cohort_alerts": 1}


def test_faults_are_found_and_the_textbook_is_measured_beside() -> None:
    plan = FoundPlan(series=1_400, learn=150, quiet=60, faulty=250, each=2)
    done = []
    figures = run_found(plan, done.append)
    assert sum(done) == 2 * plan.windows
    assert {fault: len(sizes) for fault, sizes in figures["faults"].items()} == dict.fromkeys(NAMES, 3)
    assert figures["faults_found_by_kind"]["level_shift"]["gaussian"] >= 0.5
    assert figures["faults"]["silence"]["240"]["textbook"] == pytest.approx(
        {"pick": "absent", "found": 1.0, "delay": figures["faults"]["silence"]["15"]["textbook"]["delay"]}
    )
    rows = [(f"{fault} {size}", row) for fault, sizes in figures["faults"].items() for size, row in sizes.items()]
    assert figures["faults_lost"] == [name for name, row in rows if not row["ahead"]]
