"""On quiet fleets nobody is called; the demonstration's leak is noticed within a few windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.round import Change
from tests.detect_fleet import Fleet

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOWS, SERIES, SEEDS = 600, 300, 3

Shape = tuple[int, int]
Noise = "Callable[[np.random.Generator, Shape], NDArray[np.float64]]"


def _autoregressive(rng: np.random.Generator, shape: Shape, memory: float = 0.9) -> NDArray[np.float64]:
    values = rng.normal(0, 1, shape)
    for window in range(1, shape[0]):
        values[window] += memory * values[window - 1]
    return values


FLEETS: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "heavy_tailed": lambda rng, shape: rng.standard_t(4, shape),
    "exponential_tails": lambda rng, shape: rng.laplace(0, 1, shape),
    "skewed": lambda rng, shape: np.exp(rng.normal(3, 0.5, shape)),
    "steps": lambda rng, shape: np.round(rng.normal(0, 0.4, shape)),
    "rare_counts": lambda rng, shape: rng.poisson(0.1, shape).astype(float),
    "autoregressive": _autoregressive,
    "wandering": lambda rng, shape: _autoregressive(rng, shape, 1.0),
    "daily": lambda rng, shape: 10 * np.sin(np.arange(shape[0])[:, None] / 300) + rng.normal(0, 1, shape),
}


def test_quiet_fleets_alarm_nobody() -> None:
    # All run side by side: each fleet and seed is a kind of hardware, and so a cohort, of its own.
    kinds = [(name, seed) for name in FLEETS for seed in range(SEEDS)]
    values = np.empty((WINDOWS, SERIES * len(kinds)))
    for number, (name, seed) in enumerate(kinds):
        values[:, number :: len(kinds)] = 50 + FLEETS[name](np.random.default_rng(seed), (WINDOWS, SERIES))
    engine = Engine(DetectConfig())
    fleet = Fleet(SERIES * len(kinds), hardware=[f"{name}-{seed}" for name, seed in kinds])
    decisions = [decision for batch in fleet.batches(values) for decision in engine.step(batch)]
    assert [(d.attributes.hardware, d.value, d.expected, d.scale) for d in decisions] == []
    assert engine.counts["judged"] > 0.9 * values.size


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_that_comes_soon_after_the_first_window_is_noticed(seed: int) -> None:
    rng, quiet, devices = np.random.default_rng(seed), 22, 20
    metrics = ("cpu_percent", "memory_percent", "temperature_c", "latency_ms", "uptime_s")
    values = np.empty((60, devices, 5))
    values[..., 0] = rng.uniform(10, 30, devices) + rng.normal(0, 1.5, (60, devices))
    values[..., 1] = rng.uniform(30, 45, devices) + rng.normal(0, 0.3, (60, devices))
    values[..., 2] = rng.uniform(35, 50, devices) + rng.normal(0, 0.2, (60, devices))
    values[..., 3] = np.exp(rng.normal(3, 0.15, (60, devices)))
    values[..., 4] = np.arange(60)[:, None] + rng.random(devices)
    leaking = np.arange(1, devices, 4)  # half of the devices of rev-b
    values[quiet : quiet + 2, leaking] = np.nan  # they install
    values[quiet + 2 :, leaking, 1] += 3.0 * np.arange(1, 60 - quiet - 1)[:, None]
    values[quiet + 2 :, leaking, 4] -= quiet + 2
    engine, fleet = Engine(DetectConfig()), Fleet(devices, metrics, hardware=("rev-a", "rev-b"))
    entered = {}
    for window, batch in enumerate(fleet.batches(np.round(values, 2))):
        for decision in engine.step(batch):
            if decision.change is Change.ENTERED:
                entered[decision.device.device, decision.metric.name] = window - quiet - 1  # windows of leaking
    assert entered.keys() == {(f"d{device}", "memory_percent") for device in leaking}
    assert np.median(list(entered.values())) <= 5
    assert max(entered.values()) <= 6
