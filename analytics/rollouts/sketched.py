"""The quantile sketches of many devices' windows, added up device by device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ingest.contract.sketch import Sketches, joined, merged, no_sketches, quantiles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MOST_WINDOWS = 4
"""Windows that are kept apart for each name, on average, before they are added up."""


class Sketched(msgspec.Struct):
    """Sketches by name. `number` (windows,) says whose each one is; the other arrays are those of `Sketches`.

    Bounded by `MOST_WINDOWS` sketches a name; what was dropped goes when they are added up next.
    """

    numbers: dict[str, int] = {}
    known: int = 0
    number: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    zeros: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    below: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    above: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    bucket: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    samples: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def add(self, names: Sequence[str], sketches: Sketches) -> None:
        """Sketches of one window each, the i-th of `names[i]`."""
        for name in names:
            if name not in self.numbers:
                self.numbers[name] = self.known
                self.known += 1
        ours = np.array([self.numbers[name] for name in names], dtype=np.int64)
        self._keep(np.concatenate([self.number, ours]), joined([self._sketches(), sketches]))
        if len(self.number) > MOST_WINDOWS * len(self.numbers):
            self._add_up()

    def quantile(self, name: str, level: float) -> float:
        """The value at `level` (0 to 1) of all that was added under a name, within 1 %; NaN without any."""
        mine = np.flatnonzero(self.number == self.numbers.get(name, -1))
        if not len(mine):
            return float("nan")
        whole = merged(self._sketches().take(mine), np.zeros(len(mine), dtype=np.int64), 1)
        return float(quantiles(whole, [level])[0, 0])

    def drop(self, names: Iterable[str]) -> None:
        """Forget what was added under these names."""
        for name in names:
            self.numbers.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all but these names."""
        self.drop([name for name in self.numbers if name not in names])

    def _add_up(self) -> None:
        owner = np.full(self.known, -1)
        owner[list(self.numbers.values())] = np.arange(len(self.numbers))
        group = owner[self.number]
        mine = np.flatnonzero(group >= 0)
        whole = merged(self._sketches().take(mine), group[mine], len(self.numbers))
        self.numbers = {name: place for place, name in enumerate(self.numbers)}
        self.known = len(self.numbers)
        self._keep(np.arange(self.known), whole)

    def _sketches(self) -> Sketches:
        none = no_sketches()
        return Sketches(self.zeros, self.below, self.above, self.bucket, self.samples) if len(self.number) else none

    def _keep(self, number: np.ndarray, sketches: Sketches) -> None:
        self.number = number
        self.zeros, self.below, self.above, self.bucket, self.samples = sketches
