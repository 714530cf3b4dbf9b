"""The published device mix: what a plain fleet of machines says once a second, ten metrics a message.

Two of the ten are noisy (vibration, motor current), four move slowly in the steps that their sensors have
(temperatures, pressure, battery), two count (energy, uptime), one is a state and one a set point that nobody touches.
Every device has its own level, noise and place in the second; its timestamps jitter by some milliseconds, as those of
machines do that are busy with something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compose.bench.readings import Readings

if TYPE_CHECKING:
    from numpy.typing import NDArray

START_MS = 1_790_000_000_000
PERIOD_MS = 1_000
_JITTER_MS = 4.0

METRICS: tuple[tuple[str, int], ...] = (
    ("temperature_c", 1),
    ("bearing_temperature_c", 2),
    ("pressure_bar", 2),
    ("vibration_rms_mm_s", 3),
    ("motor_current_a", 2),
    ("energy_wh", 0),
    ("uptime_s", 0),
    ("state", 0),
    ("battery_percent", 0),
    ("setpoint_c", 1),
)
"""Name and decimals, in the order in which they stand in a message."""
STATE_CHANGES_PER_HOUR = 6.0
"""How often a machine is switched."""


def mix(devices: int, seconds: int, seed: int, *, start_ms: int = START_MS, period_ms: int = PERIOD_MS) -> Readings:
    """`devices` machines for `seconds` readings each, one every `period_ms`; the same for the same seed."""
    rng = np.random.default_rng(seed)
    value = np.stack(
        [_rounded(column, places) for column, places in zip(_signals(rng, devices, seconds), _PLACES, strict=True)],
        axis=-1,
    )
    ts = _times(rng, devices, seconds, start_ms, period_ms)
    order = np.argsort(ts, axis=None, kind="stable")
    device = np.tile(np.arange(devices), seconds)[order]
    names = tuple(name for name, _ in METRICS)
    return Readings(names, _PLACES, device, ts.ravel()[order], value.reshape(-1, len(METRICS))[order])


_PLACES = tuple(decimals for _, decimals in METRICS)


def _times(rng: np.random.Generator, devices: int, seconds: int, start_ms: int, period_ms: int) -> NDArray[np.int64]:
    """Shape (seconds, devices): a place in the second for each device, and jitter that never turns the order round."""
    place = rng.integers(0, period_ms, devices)
    jitter = np.clip(rng.normal(0, _JITTER_MS, (seconds, devices)), -0.4 * period_ms, 0.4 * period_ms)
    grid = start_ms + np.arange(seconds)[:, None] * period_ms + place
    times: NDArray[np.int64] = grid + np.rint(jitter).astype(np.int64)
    return times


def _signals(rng: np.random.Generator, devices: int, seconds: int) -> list[NDArray[np.float64]]:
    """One array of shape (seconds, devices) a metric, in the order of METRICS."""
    state = _states(rng, devices, seconds)
    running = state == 1
    load = np.where(running, 1.0, 0.15)
    current = rng.uniform(4, 18, devices) * load * (1 + 0.03 * rng.standard_normal((seconds, devices)))
    vibration = rng.uniform(0.8, 4.5, devices) * load * np.exp(0.12 * rng.standard_normal((seconds, devices)))
    return [
        rng.uniform(15, 40, devices) + _wander(rng, devices, seconds, step=0.01),
        rng.uniform(40, 75, devices) + _wander(rng, devices, seconds, step=0.015),
        rng.uniform(2, 9, devices) + _wander(rng, devices, seconds, step=0.002),
        vibration,
        current,
        np.floor(rng.uniform(1e7, 9e7, devices)) + np.cumsum(current * 400 / 3600, axis=0),
        np.floor(rng.uniform(1e6, 9e6, devices)) + np.arange(float(seconds))[:, None],
        state.astype(np.float64),
        rng.uniform(20, 100, devices) - np.arange(seconds)[:, None] / rng.uniform(400, 4_000, devices),
        np.broadcast_to(np.round(rng.uniform(18, 24, devices) * 2) / 2, (seconds, devices)),
    ]


def _wander(rng: np.random.Generator, devices: int, seconds: int, step: float) -> NDArray[np.float64]:
    wandered: NDArray[np.float64] = np.cumsum(rng.normal(0, step, (seconds, devices)), axis=0)
    return wandered


def _states(rng: np.random.Generator, devices: int, seconds: int) -> NDArray[np.int64]:
    """0 off, 1 running, 2 idle: kept until the next switch, most machines run."""
    switched = rng.random((seconds, devices)) < STATE_CHANGES_PER_HOUR / 3600
    switched[0] = True
    drawn = rng.choice([0, 1, 2], (seconds, devices), p=[0.1, 0.75, 0.15])
    since = np.maximum.accumulate(np.where(switched, np.arange(seconds)[:, None], 0), axis=0)
    states: NDArray[np.int64] = np.take_along_axis(drawn, since, axis=0)
    return states


def _rounded(column: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    # The nearest double of the printed decimal, which is what a reader of the JSON gets.
    rounded: NDArray[np.float64] = np.round(column, decimals) + 0.0
    return rounded
