"""Which names a file has had already: each file names what occurs in it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Seen:
    """Growing sets of small integers, asked for many at once."""

    def __init__(self) -> None:
        self._series = np.zeros(1024, np.bool_)
        self._devices: set[int] = set()

    def new_series(self, numbers: NDArray[np.int64]) -> list[int]:
        """Those among `numbers`, shape (n,), that were not added yet, rising."""
        if not len(numbers):
            return []
        self._grow(int(numbers.max()))
        fresh: list[int] = np.unique(numbers[~self._series[numbers]]).tolist()
        return fresh

    def new_devices(self, numbers: Iterable[int]) -> list[int]:
        """Those among `numbers` that were not added yet, rising."""
        return sorted(set(numbers) - self._devices)

    def add(self, series: list[int], devices: list[int]) -> None:
        """From now on these are no news."""
        if series:
            self._grow(max(series))
            self._series[series] = True
        self._devices.update(devices)

    def _grow(self, greatest: int) -> None:
        if greatest >= len(self._series):
            grown = np.zeros(max(greatest + 1, 2 * len(self._series)), np.bool_)
            grown[: len(self._series)] = self._series
            self._series = grown
