"""From pairs of dense ids to one dense id, for whole columns at once: an open-addressing hash table in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = -1
_EMPTY = np.int64(-1)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SECOND_BITS = 24


def pair_keys(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair of non-negative ones, the second below 2**24; shape (rows,), int64."""
    return (first << _SECOND_BITS) | second


def split_keys(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that `pair_keys` made these of."""
    return keys >> _SECOND_BITS, keys & ((1 << _SECOND_BITS) - 1)


class PairIndex:
    """Keys (non-negative int64) to ids (int32), linear probing, at most half full (Knuth, TAOCP 3, 6.4)."""

    def __init__(self, keys: NDArray[np.int64] | None = None, ids: NDArray[np.int32] | None = None) -> None:
        known = np.empty(0, np.int64) if keys is None else keys
        numbers = np.empty(0, np.int32) if ids is None else ids
        self._clear(len(known))
        self._place(known, numbers)

    def __len__(self) -> int:
        return self._used

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        """The id of each key, `MISSING` where there is none; shape (rows,), int32."""
        slots = self._home(keys)
        found = self._keys[slots]
        astray = np.flatnonzero((found != keys) & (found != _EMPTY))
        while astray.size:
            slots[astray] = (slots[astray] + 1) & self._mask
            found[astray] = self._keys[slots[astray]]
            astray = astray[(found[astray] != keys[astray]) & (found[astray] != _EMPTY)]
        return np.where(found == keys, self._ids[slots], np.int32(MISSING))

    def insert(self, keys: NDArray[np.int64], ids: NDArray[np.int32]) -> None:
        """Add keys that are distinct and not yet known."""
        if (self._used + len(keys)) * 2 > len(self._keys):
            occupied = self._keys != _EMPTY
            known, numbers = self._keys[occupied], self._ids[occupied]
            self._clear(len(known) + len(keys))
            self._place(known, numbers)
        self._place(keys, ids)

    def _clear(self, expected: int) -> None:
        size = 1 << max(6, int(expected * 2).bit_length())
        self._keys = np.full(size, _EMPTY, np.int64)
        self._ids = np.full(size, MISSING, np.int32)
        self._mask = np.int64(size - 1)
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._used = 0

    def _home(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        return ((keys.astype(np.uint64) * _MULTIPLIER) >> self._shift).astype(np.int64)

    def _place(self, keys: NDArray[np.int64], ids: NDArray[np.int32]) -> None:
        # All at once: of those that want the same free slot the last one wins, the others move on to the next.
        waiting, slots = np.arange(len(keys)), self._home(keys)
        while waiting.size:
            free = waiting[self._keys[slots[waiting]] == _EMPTY]
            self._keys[slots[free]] = keys[free]
            placed = self._keys[slots[waiting]] == keys[waiting]
            self._ids[slots[waiting[placed]]] = ids[waiting[placed]]
            waiting = waiting[~placed]
            slots[waiting] = (slots[waiting] + 1) & self._mask
        self._used += len(keys)
