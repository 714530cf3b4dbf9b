"""Pairs of a canary and a control of one stratum, in the order in which their soaks are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pairs(NamedTuple):
    """Completed pairs in order: the place (among the given devices) of the one that completed it, canary's and control's value."""

    place: Ints
    canary: Floats
    control: Floats


class Matching(msgspec.Struct):
    """Who still waits for a partner: `group`, `number`, `value`, `canary` (waiting,); `soaked` by group, canaries and controls.

    A group is a stratum, once for changes from the own past and once for plain values: unlike things are no pair.
    """

    group: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    number: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    value: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.float64))
    canary: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=bool))
    soaked: np.ndarray = msgspec.field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))

    def add(self, group: Ints, value: Floats, canary: Bools) -> Pairs:
        """The n-th canary of a group is paired with its n-th control; all arguments have shape (n,), in order."""
        self._grow(int(group.max()) + 1 if len(group) else 0)
        number = self.soaked[group, (~canary).astype(np.int64)] + _earlier(group * 2 + canary)
        np.add.at(self.soaked, (group, (~canary).astype(np.int64)), 1)
        place = np.concatenate([np.full(len(self.group), -1), np.arange(len(group))])
        ours = (self.group, self.number, self.value, self.canary)
        group, number, value, canary = (
            np.concatenate([old, new]) for old, new in zip(ours, (group, number, value, canary), strict=True)
        )
        first, second = _partners((canary, number, group))
        alone = np.ones(len(group), dtype=bool)
        alone[first] = alone[second] = False
        self.group, self.number, self.value, self.canary = group[alone], number[alone], value[alone], canary[alone]
        done = np.maximum(place[first], place[second])
        order = np.argsort(done, kind="stable")
        return Pairs(done[order], value[second][order], value[first][order])

    def _grow(self, groups: int) -> None:
        missing = max(0, groups - len(self.soaked))
        self.soaked = np.concatenate([self.soaked, np.zeros((missing, 2), dtype=np.int64)])


def _partners(keys: Sequence[NDArray[np.generic]]) -> tuple[Ints, Ints]:
    # Sorted by group, number, arm: partners stand next to each other, the control first.
    order = np.lexsort(list(keys))
    _, number, group = (key[order] for key in keys)
    pair = np.flatnonzero((group[1:] == group[:-1]) & (number[1:] == number[:-1]))
    return order[pair], order[pair + 1]


def _earlier(key: Ints) -> Ints:
    # How many equal keys stand before each one.
    order = np.argsort(key, kind="stable")
    new = np.diff(key[order], prepend=-1) != 0
    at = np.arange(len(key))
    earlier = np.empty_like(at)
    earlier[order] = at - np.maximum.accumulate(np.where(new, at, 0))
    return earlier
