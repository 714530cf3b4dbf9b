"""Names to small numbers and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from analytics.pair_index import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

K = TypeVar("K")


class DenseIds(Generic[K]):
    """Names to small numbers and back; numbers of forgotten names are given again, lowest first."""

    def __init__(self, names: Iterable[K | None] = ()) -> None:
        self.names: list[K | None] = list(names)
        self._ids = {name: number for number, name in enumerate(self.names) if name is not None}
        self._free = self._find_free()

    def get(self, name: K) -> int:
        """The name's number, a new one when it has none."""
        number = self._ids.get(name)
        if number is None:
            number = self._free.pop() if self._free else len(self.names)
            if number == len(self.names):
                self.names.append(None)
            self.names[number] = name
            self._ids[name] = number
        return number

    def numbers(self, names: Iterable[K], rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The number of each name of a batch's table, `MISSING` for those to which none of `rows` points."""
        named = list(names)
        pointed_at = np.bincount(rows, minlength=len(named)) > 0
        return np.array([self.get(n) if p else MISSING for n, p in zip(named, pointed_at, strict=True)], np.int64)

    def keep(self, used: NDArray[np.bool_]) -> None:
        """Forget the names whose numbers are not used; shape (numbers,)."""
        for number in np.flatnonzero(~used):
            name = self.names[number]
            if name is not None:
                del self._ids[name]
                self.names[number] = None
        self._free = self._find_free()

    def _find_free(self) -> list[int]:
        return [number for number, name in enumerate(self.names) if name is None][::-1]
