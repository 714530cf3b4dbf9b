"""A fleet in which nothing is wrong: what its series do, one window of one minute after another.

Seven kinds of series, each a metric of every device. Every number is drawn for its series and window; nothing is reused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

KINDS = ("gaussian", "student_t3", "lognormal_bursts", "counter", "steps", "daily", "site_shocks")
GAUSSIAN, STUDENT, BURSTS, COUNTER, STEPS, DAILY, SHOCKS = range(len(KINDS))
DAY = 1440
"""Windows of one minute."""

_BURST = 0.005
_BURST_KEEPS = 0.6
_RESET = 1 / (3 * DAY)
_REGIME = 1 / 240
_REGIMES = 5
_MEMORY = 0.7
_SHOCKS_A_DAY = 6
_SHOCK_KEEPS = np.exp(-1 / 5)
_GAP = 1 / 2000


class Window(NamedTuple):
    """One window of a site, shape (kinds, devices): a counter's value is its growth. `resets`, shape (devices,)."""

    values: Floats
    present: Bools
    resets: Bools


class Site:
    """Devices of one site, each with one series of every kind; `level` and `scale` (kinds, devices) are their normal.

    - gaussian: independent normal noise;
    - student_t3: Student's t of three degrees of freedom;
    - lognormal_bursts: log-normal noise, and bursts of log-normal size that fade within minutes, seven a day;
    - counter: ever growing, at a rate with normal noise; reset to zero every three days;
    - steps: whole numbers around one of five regimes, which changes six times a day;
    - daily: a sine of a day, three to ten scales high, with noise that remembers (0.7);
    - site_shocks: normal noise, and six times a day a shock that all devices of the site share, of four scales in the
      mean (gamma), fading over five minutes.

    A device misses a window or a few every 2,000. Everything follows from `seed` and the site's `number`.
    """

    def __init__(self, seed: int, number: int, devices: int) -> None:
        self._chance = np.random.Generator(np.random.SFC64([seed, number]))
        chance, shape = self._chance, (len(KINDS), devices)
        self.devices = devices
        self.level = 10 ** chance.uniform(0, 3, shape)
        self.scale = self.level * chance.uniform(0.005, 0.05, shape)
        self._unit = chance.choice([1.0, 2.0, 5.0, 10.0], devices)
        self.level[STEPS] = np.rint(self.level[STEPS])
        self.scale[STEPS] = 1.5 * self._unit
        self.scale[BURSTS] = 0.3 * self.level[BURSTS]
        self.scale[COUNTER] = 0.1 * self.level[COUNTER]
        self._burst = np.zeros(devices)
        self._regime = chance.integers(0, _REGIMES, devices)
        self._swing = self.scale[DAILY] * chance.uniform(3, 10, devices)
        self._phase = chance.random() + chance.normal(0, 0.02, devices)
        self._remembered = chance.normal(0, 1, devices)
        self._gain = np.exp(chance.normal(0, 0.3, devices))
        self._shock = 0.0
        self._gap = np.zeros(devices, np.int64)
        self._minute = 0

    def next(self) -> Window:
        """The next window."""
        noise = self._chance.standard_normal(self.level.shape, np.float32).astype(np.float64)
        values = self.level + self.scale * noise
        values[STUDENT] += self.scale[STUDENT] * noise[STUDENT] * (self._heaviness() - 1.0)
        values[BURSTS] = self._bursts(noise[BURSTS])
        np.maximum(values[COUNTER], 0.0, out=values[COUNTER])
        values[STEPS] = self._steps(noise[STEPS])
        values[DAILY] = self._daily(noise[DAILY])
        values[SHOCKS] += self.scale[SHOCKS] * self._gain * self._shocked()
        self._minute += 1
        present = np.broadcast_to(self._present(), values.shape).copy()
        return Window(values, present, self._draw() < _RESET)

    def _draw(self) -> NDArray[Any]:
        return self._chance.random(self.devices, np.float32)

    def _heaviness(self) -> NDArray[Any]:
        # A normal number over the root of a chi-squared one, by its degrees of freedom, is Student's t.
        others = self._chance.standard_normal((3, self.devices), np.float32)
        return np.asarray(np.sqrt(3.0 / np.maximum((others**2).sum(axis=0), 1e-12)))

    def _bursts(self, noise: Floats) -> Floats:
        begun = np.flatnonzero(self._draw() < _BURST)
        self._burst *= _BURST_KEEPS
        self._burst[begun] += self._chance.lognormal(0.0, 1.0, len(begun))
        return np.asarray(self.level[BURSTS] * (np.exp(0.3 * noise) + self._burst))

    def _steps(self, noise: Floats) -> Floats:
        changed = np.flatnonzero(self._draw() < _REGIME)
        self._regime[changed] = self._chance.integers(0, _REGIMES, len(changed))
        return np.asarray(np.rint(self.level[STEPS] + self._unit * self._regime + 0.4 * noise))

    def _daily(self, noise: Floats) -> Floats:
        self._remembered = _MEMORY * self._remembered + np.sqrt(1 - _MEMORY**2) * noise
        wave = np.sin(2 * np.pi * (self._minute / DAY + self._phase))
        return np.asarray(self.level[DAILY] + self._swing * wave + self.scale[DAILY] * self._remembered)

    def _shocked(self) -> float:
        self._shock *= _SHOCK_KEEPS
        if self._chance.random() < _SHOCKS_A_DAY / DAY:
            self._shock += self._chance.gamma(4.0, 1.0)
        return self._shock

    def _present(self) -> Bools:
        self._gap = np.maximum(self._gap - 1, 0)
        begun = np.flatnonzero(self._draw() < _GAP)
        self._gap[begun] = self._chance.geometric(0.5, len(begun))
        return np.asarray(self._gap == 0)


def sites_of(series: int, seed: int, per_site: int = 10_000) -> list[Site]:
    """A fleet of about so many series, in sites of about `per_site`."""
    devices = max(1, round(series / len(KINDS)))
    number = max(1, round(series / per_site))
    sizes = np.diff(np.linspace(0, devices, number + 1).astype(int))
    return [Site(seed, at, int(size)) for at, size in enumerate(sizes)]
