"""What of windows that are still open has been shipped: long windows are shown before they end, where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers
from edge_aggregator.windows.keys import find, series_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_PREFIX = "told_"
_FIELDS = ("key", "stage", "counted", "distinct", "duplicate")


class Shipped(NamedTuple):
    """By window, shape (windows,): whether it was `shipped`, at which `stage`, and the samples explained then.

    `counted` samples were taken, of which `distinct` were rolled up and `duplicate` were not; the others were lost.
    """

    shipped: NDArray[np.bool_]
    stage: NDArray[np.int64]
    counted: NDArray[np.int64]
    distinct: NDArray[np.int64]
    duplicate: NDArray[np.int64]

    def rows(self, which: NDArray[np.bool_]) -> Shipped:
        """Some of the windows."""
        numbers = (self.stage[which], self.counted[which], self.distinct[which], self.duplicate[which])
        return Shipped(self.shipped[which], *numbers)

    def lost(self) -> NDArray[np.int64]:
        """Samples that were counted as lost, shape (windows,)."""
        missing: NDArray[np.int64] = self.counted - self.distinct - self.duplicate
        return missing


class Told:
    """Open windows by key; few: only those of metrics that ask for it."""

    def __init__(self) -> None:
        self._rows = Columns({"key": ("u8", 0), **dict.fromkeys(_FIELDS[1:], ("i8", 0))})

    def __len__(self) -> int:
        return len(self._rows)

    def samples(self) -> int:
        """Samples of open windows that are explained already."""
        return int(self._rows["counted"].sum())

    def by_series(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The series of each open window and how many of its samples are explained already, shape (windows,) each."""
        return series_of(self._rows["key"]), self._rows["counted"]

    def of(self, keys: NDArray[np.uint64]) -> Shipped:
        """What was shipped of windows, shape (windows,); zeros for those of which nothing was."""
        place = self._places(keys)
        return Shipped(place >= 0, *(self._column(name, place) for name in _FIELDS[1:]))

    def put(self, keys: NDArray[np.uint64], now: Shipped) -> None:
        """These windows have been shipped, as `now` says."""
        self.remove(keys)
        new = self._rows.grow(len(keys))
        for name, column in zip(_FIELDS, (keys, *now[1:]), strict=True):
            self._rows[name][new] = column

    def remove(self, keys: NDArray[np.uint64]) -> None:
        """These windows are open no longer."""
        if len(self._rows):
            self._rows.keep(find(self._rows["key"], np.sort(keys)) < 0)

    def reopen(self, key: int, samples: int) -> bool:
        """So many samples of a window that were shipped will not arrive: they are open again. Whether they can be."""
        place = int(self._places(np.array([key], np.uint64))[0])
        if place < 0:
            return False
        for name in ("counted", "distinct"):
            self._rows[name][place] -= samples
        return True

    def trim(self, keys: NDArray[np.uint64], count: NDArray[np.int64]) -> None:
        """After a restart only these windows are open, shape (windows,), with so many samples: no more are explained."""
        if len(self._rows):
            order = np.argsort(keys)
            place = find(self._rows["key"], keys[order])
            self._rows.keep(place >= 0)
            np.minimum(self._rows["counted"], count[order[place[place >= 0]]], out=self._rows["counted"])

    def save(self) -> dict[str, bytes]:
        """Everything."""
        return (
            {_PREFIX + name: pack_integers(self._rows[name].astype(np.int64)) for name in _FIELDS}
            if len(self._rows)
            else {}
        )

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """As saved."""
        if _PREFIX + "key" in parts:
            key, *others = (unpack_integers(parts[_PREFIX + name]) for name in _FIELDS)
            self.put(key.astype(np.uint64), Shipped(np.ones(len(key), np.bool_), *others))

    def _places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        if not len(self._rows):
            return np.full(len(keys), -1, np.int64)
        order = np.argsort(self._rows["key"])
        place = find(keys, self._rows["key"][order])
        return np.where(place >= 0, order[place], -1)

    def _column(self, name: str, place: NDArray[np.int64]) -> NDArray[np.int64]:
        column: NDArray[np.int64] = self._rows[name]
        return np.where(place >= 0, column[place], 0) if len(column) else np.zeros(len(place), np.int64)
