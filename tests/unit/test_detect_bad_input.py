"""What a fleet may send and should not: nothing raises, nothing grows without bound, what is not looked at is counted."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analytics.columns import COLUMNS
from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.round import Change
from tests.detect_fleet import Fleet, run
from tests.rollup_batches import T0

if TYPE_CHECKING:
    from analytics.detect.engine import Decision

DEVICES, WINDOWS = 20, 300


def noise(windows: int = WINDOWS, devices: int = DEVICES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(40, 0.3, (windows, devices))


def entered(decisions: list[Decision]) -> set[str]:
    return {decision.device.device for decision in decisions if decision.change is Change.ENTERED}


def counted(engine: Engine) -> int:
    """Windows of which the engine says what became of them."""
    return sum(engine.counts.values())


def finite(engine: Engine) -> bool:
    """Whether nothing that is remembered has become no number, but for what was not seen yet and begins as none."""
    begins = {name for name, column in COLUMNS.items() if np.isfinite(column.fresh)}
    columns = {name: column for name, column in engine.table.columns.items() if column.dtype.kind == "f"}
    return all(np.isfinite(columns[name]).all() for name in columns.keys() & begins)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, -1e308])
def test_what_is_no_number_is_counted_and_teaches_nothing(bad: float) -> None:
    fleet, engine = Fleet(DEVICES), Engine(DetectConfig())
    for window, values in enumerate(noise()):
        batch = fleet.batch(values[:, None], window)
        if window % 3 == 0:
            for name in ("sum", "min", "max", "last"):
                batch.columns[name][:5] = bad
        with np.errstate(all="raise"):
            decisions = engine.step(batch)
        assert entered(decisions) <= {f"d{number}" for number in range(5)}
    assert counted(engine) >= WINDOWS * DEVICES
    if not np.isfinite(bad):
        assert engine.counts["not_finite"] == 5 * WINDOWS // 3
    assert finite(engine)


def test_constant_series_say_nothing() -> None:
    engine = Engine(DetectConfig())
    values = np.broadcast_to(np.array([0.0, 1.0, -7.5, 1e9, 1e-9] * 4), (WINDOWS, DEVICES))
    assert run(engine, Fleet(DEVICES).batches(values)) == []
    assert finite(engine)


def test_one_sample_a_day_is_looked_at() -> None:
    engine, day = Engine(DetectConfig()), 86_400_000
    fleet = Fleet(DEVICES, width=60_000)
    for number, values in enumerate(noise(60)):
        batch = fleet.batch(values[:, None], 0)
        batch.columns["start"][:] = T0 + number * day
        assert engine.step(batch) == []
    assert counted(engine) >= 60 * DEVICES
    assert finite(engine)


def test_with_one_sample_a_day_a_change_is_told() -> None:
    engine, day = Engine(DetectConfig()), 86_400_000
    fleet, values = Fleet(DEVICES, width=day), noise(60)
    values[55:, 0] += 20
    decisions = []
    for number, row in enumerate(values):
        batch = fleet.batch(row[:, None], 0)
        batch.columns["start"][:] = T0 + number * day
        decisions += engine.step(batch)
    assert entered(decisions) == {"d0"}


def test_ten_windows_a_second_are_looked_at() -> None:
    engine, values = Engine(DetectConfig()), noise(2_000)
    values[1_500:, 0] += 20
    decisions = run(engine, Fleet(DEVICES, width=100).batches(values))
    assert entered(decisions) == {"d0"}


@pytest.mark.parametrize("jump", [-86_400_000, -5_000, 5_000, 86_400_000, 40 * 365 * 86_400_000])
def test_clocks_that_jump_raise_nothing_and_are_forgiven(jump: int) -> None:
    engine, fleet, values = Engine(DetectConfig()), Fleet(DEVICES), noise(600)
    values[590:, 1] += 20
    decisions = []
    for number, row in enumerate(values):
        batch = fleet.batch(row[:, None], number)
        if 200 <= number < 260:
            batch.columns["start"][0] += jump  # the first device's clock
        decisions += engine.step(batch)
    assert entered(decisions) <= {"d1"}
    assert counted(engine) >= values.size
    assert finite(engine)


def test_a_unit_that_changes_is_an_alarm_that_becomes_the_new_normal() -> None:
    engine, values = Engine(DetectConfig(rebaseline_s=100.0)), noise(500)
    values[300:, 0] = values[300:, 0] * 1.8 + 32
    values[300:, 1] *= 1000
    values[300:, 2] *= -1e-3
    decisions = run(engine, Fleet(DEVICES).batches(values))
    assert entered(decisions) == {"d0", "d1", "d2"}
    assert {d.device.device for d in decisions if d.change is Change.NEW_NORMAL} == {"d0", "d1", "d2"}
    assert finite(engine)


def test_what_jumps_over_many_orders_of_magnitude_stays_finite() -> None:
    engine = Engine(DetectConfig())
    values = 10.0 ** np.random.default_rng(0).uniform(-300, 149, (WINDOWS, DEVICES))
    run(engine, Fleet(DEVICES).batches(values))
    assert finite(engine)


def flood(engine: Engine, names: int, per_batch: int) -> None:
    """So many devices that speak once, in one minute."""
    for first in range(0, names, per_batch):
        fleet = Fleet(per_batch, width=60_000)
        fleet.devices = [type(row)(f"flood-{first + n}") for n, row in enumerate(fleet.devices)]
        engine.step(fleet.batch(np.full((per_batch, 1), 1.0), 400))


def test_more_new_series_than_there_is_room_for_are_counted_and_cost_no_memory() -> None:
    engine, values = Engine(DetectConfig(max_series=2_000)), noise(410, 40)
    values[405:, 0] += 20
    fleet = Fleet(40, width=60_000)
    run(engine, fleet.batches(values[:400]))
    flood(engine, 4_000, 2_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    flood(engine, 20_000, 2_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(engine.table) <= 2_000
    assert engine.counts["too_many_series"] >= 20_000
    assert grown < 1_000_000
    assert entered(run(engine, fleet.batches(values[400:], 400))) == {"d0"}


@pytest.mark.whole
def test_a_million_new_series_in_a_minute_find_room_or_are_counted() -> None:
    engine = Engine(DetectConfig(max_series=500_000))
    flood(engine, 1_000_000, 100_000)
    assert len(engine.table) <= 500_000
    assert len(engine.table) + engine.counts["too_many_series"] == 1_000_000
