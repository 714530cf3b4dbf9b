"""Faults with known beginnings, put into series of a fleet in which nothing else is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.detect.fleet import BURSTS, COUNTER, KINDS, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compose.bench.detect.fleet import Bools, Floats, Window

    Ints = NDArray[np.int64]


class Fault(NamedTuple):
    """Lasts `windows`, in three `sizes`: in scales of the series, scales a window, times its scale, or windows."""

    sizes: tuple[float, float, float]
    windows: int
    unit: str


FAULTS = {
    "spike": Fault((8, 16, 32), 2, "scales"),
    "level_shift": Fault((4, 8, 16), 120, "scales"),
    "drift": Fault((0.05, 0.1, 0.2), 240, "scales a window"),
    "variance": Fault((3, 6, 12), 120, "times the scale"),
    "stuck": Fault((60, 120, 240), 240, "windows"),
    "silence": Fault((15, 60, 240), 240, "windows"),
}
"""A spike lasts two windows: one outlying window is nobody's alarm, by design. `stuck` repeats the last value, a counter
stands still; `silence` is of one series, its device goes on."""
NAMES = tuple(FAULTS)
SIZES = 3
_ONE_SIDED = (BURSTS, COUNTER)
_NEVER_STUCK = (STEPS,)
"""Whole numbers that repeat themselves are their normal."""


class Faults:
    """Some of each fault, size and kind, on distinct series, beginning anywhere between `first` and `last`.

    Columns of shape (faults,): `fault` and `size` by number, `kind` and `device` of the series, `onset` and `end` in
    windows, the end excluded. `scale` is the series' own, shape (kinds, devices).
    """

    def __init__(self, scale: Floats, each: int, first: int, last: int, seed: int) -> None:
        self._chance = np.random.Generator(np.random.SFC64([seed, 99]))
        drawn = [
            (fault, size, kind)
            for kind in range(len(KINDS))
            for fault, name in enumerate(NAMES)
            for size in range(SIZES)
            if not (name == "stuck" and kind in _NEVER_STUCK)
            for _ in range(each)
        ]
        self.fault, self.size, self.kind = np.array(drawn, np.int64).T
        self.device = self._devices(scale.shape[1])
        self.scale = scale[self.kind, self.device]
        self.windows = np.array([_length(NAMES[f], s) for f, s in zip(self.fault, self.size, strict=True)], np.int64)
        self.onset = self._chance.integers(first, np.maximum(last - self.windows, first + 1))
        self.end = self.onset + self.windows
        self.amount = np.array([FAULTS[NAMES[f]].sizes[s] for f, s in zip(self.fault, self.size, strict=True)])
        sign = np.where(np.isin(self.kind, _ONE_SIDED), 1.0, self._chance.choice([-1.0, 1.0], len(self.kind)))
        self._signed = sign * self.amount * self.scale
        self._frozen = np.full(len(self.kind), np.nan)
        self._by_name = {name: self.fault == number for number, name in enumerate(NAMES)}

    def __len__(self) -> int:
        return len(self.kind)

    def put(self, window: Window, number: int) -> None:
        """Change the values of the window of this number, and which are present, as the faults have it."""
        active = (self.onset <= number) & (number < self.end)
        at = self.kind, self.device
        held = self._frozen_at(window.values, active, number)
        change = np.zeros(len(self))
        change += np.where(self._by_name["spike"] | self._by_name["level_shift"], self._signed, 0.0)
        change += np.where(self._by_name["drift"], self._signed * (number - self.onset + 1), 0.0)
        noise = self._chance.standard_normal(len(self))
        change += np.where(
            self._by_name["variance"], noise * self.scale * np.sqrt(np.maximum(self.amount**2 - 1, 0.0)), 0.0
        )
        changed = np.flatnonzero(active & (change != 0))
        window.values[self.kind[changed], self.device[changed]] += change[changed]
        stuck = np.flatnonzero(active & self._by_name["stuck"])
        window.values[self.kind[stuck], self.device[stuck]] = held[stuck]
        np.maximum(window.values[COUNTER], 0.0, out=window.values[COUNTER])
        window.present[at] &= ~(active & self._by_name["silence"])

    def looked_for(self, number: int) -> Ints:
        """The faults for which an alarm of this window counts: those that last. Their end may be found by its own jump."""
        return np.flatnonzero((self.onset <= number) & (number < self.end))

    def _frozen_at(self, values: Floats, active: Bools, number: int) -> Floats:
        begins = np.flatnonzero(active & (self.onset == number))
        self._frozen[begins] = values[self.kind[begins], self.device[begins]]
        return np.where(self.kind == COUNTER, 0.0, self._frozen)

    def _devices(self, devices: int) -> Ints:
        found = np.empty(len(self.kind), np.int64)
        for kind in range(len(KINDS)):
            mine = np.flatnonzero(self.kind == kind)
            found[mine] = self._chance.choice(devices, len(mine), replace=False)
        return found


def _length(name: str, size: int) -> int:
    fault = FAULTS[name]
    return int(fault.sizes[size]) if fault.unit == "windows" else fault.windows
