"""Columns that grow together at their end: how everything that has many rows is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_FIRST_CAPACITY = 64


class Moved(NamedTuple):
    """Which rows went where, shape (n,) each."""

    of: NDArray[np.int64]
    to: NDArray[np.int64]


class Columns:
    """Named arrays of equal length (rows,); growing is amortised by doubling.

    `spec` names each column with its dtype and the value that new rows begin with. What `[]` gives is a view that is
    valid until the next `grow`, `keep` or `remove`.
    """

    def __init__(self, spec: Mapping[str, tuple[str, float]]) -> None:
        self._spec = dict(spec)
        self._arrays = {name: np.empty(_FIRST_CAPACITY, dtype) for name, (dtype, _) in spec.items()}
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name][: self._rows]

    def grow(self, rows: int) -> slice:
        """Add so many rows; where they are."""
        first, self._rows = self._rows, self._rows + rows
        for name, (dtype, fill) in self._spec.items():
            array = self._arrays[name]
            if len(array) < self._rows:
                array = np.empty(max(self._rows, 2 * len(array)), dtype)
                array[:first] = self._arrays[name][:first]
                self._arrays[name] = array
            array[first : self._rows] = fill
        return slice(first, self._rows)

    def grow_to(self, rows: int) -> None:
        """Have at least so many rows."""
        if rows > self._rows:
            self.grow(rows - self._rows)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Keep the rows where `mask`, shape (rows,), is true, in their order."""
        kept = {name: self[name][mask] for name in self._spec}
        self._rows = int(mask.sum())
        for name, values in kept.items():
            self._arrays[name][: self._rows] = values

    def remove(self, which: NDArray[np.int64]) -> Moved:
        """Remove these rows, each given once, rising; the last ones take their places, so that the others stay."""
        left = self._rows - len(which)
        stays = np.ones(len(which), np.bool_)
        stays[which[which >= left] - left] = False
        moved = Moved(left + np.flatnonzero(stays), which[which < left])
        for array in self._arrays.values():
            array[moved.to] = array[moved.of]
        self._rows = left
        return moved

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Copies of some of the rows."""
        return {name: self[name][which] for name in self._spec}
