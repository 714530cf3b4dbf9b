"""What the fleet consists of: how many devices there are of each kind, that is of each site, group, hardware and firmware."""

from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ATTRIBUTES = ("site", "group", "hardware", "firmware")

Kind = tuple[str, str, str, str]
"""Values of `ATTRIBUTES`, empty where they are not known."""

SUBSETS = tuple(combinations(range(len(ATTRIBUTES)), 1)) + tuple(combinations(range(len(ATTRIBUTES)), 2))
"""Which attributes are looked at together: each, and each pair, by their places."""

DEVICE_BYTES = 150
"""What a device takes beside its name: its place in the dictionary, and the number of its kind."""


class Counted(NamedTuple):
    """Of each kind how many devices are affected and how many the fleet has, shape (kinds,), int64.

    For each of `SUBSETS` the values that there are, and of each kind the number of its values, shape (kinds,).
    """

    values: list[list[tuple[str, ...]]]
    codes: list[NDArray[np.int64]]
    affected: NDArray[np.int64]
    fleet: NDArray[np.int64]


class Fleet:
    """The devices of one tenant, at most `most_bytes` of them; `full` counts those that found no room."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self.full = 0
        self.version = 0
        """Grows with each change."""
        self.kinds: list[Kind] = []
        self._numbers: dict[Kind, int] = {}
        self._counts: list[int] = []
        self._devices: dict[str, int] = {}
        self._values: list[list[tuple[str, ...]]] = [[] for _ in SUBSETS]
        self._codes: list[dict[tuple[str, ...], int]] = [{} for _ in SUBSETS]
        self._code_of: list[list[int]] = [[] for _ in SUBSETS]
        self._code_arrays: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]

    def __len__(self) -> int:
        return len(self._devices)

    def put(self, device: str, kind: Kind) -> None:
        """`device` (site/name) is of this kind now; a further one for which there is no room is passed over and counted."""
        before = self._devices.get(device)
        if before is not None and self.kinds[before] == kind:
            return
        if before is None:
            needed = _bytes_of(device)
            if self._bytes + needed > self._most_bytes:
                self.full += 1
                return
            self._bytes += needed
        else:
            self._counts[before] -= 1
        number = self.number(kind)
        self._counts[number] += 1
        self._devices[device] = number
        self.version += 1

    def remove(self, device: str) -> None:
        """It is retired."""
        before = self._devices.pop(device, None)
        if before is not None:
            self._counts[before] -= 1
            self._bytes -= _bytes_of(device)
            self.version += 1

    def number(self, kind: Kind) -> int:
        """The number of a kind."""
        known = self._numbers.get(kind)
        if known is None:
            known = self._numbers[kind] = len(self.kinds)
            self.kinds.append(kind)
            self._counts.append(0)
            self._encode(kind)
        return known

    def kind_of(self, device: str) -> Kind | None:
        """What a device is, None for one that is not known."""
        number = self._devices.get(device)
        return None if number is None else self.kinds[number]

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode((self.kinds, self._devices, self.full))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before anything else."""
        kinds, devices, self.full = msgspec.msgpack.decode(dumped, type=tuple[list[Kind], dict[str, int], int])
        for device, number in devices.items():
            self.put(device, kinds[number])

    def counted_with(self, devices: Iterable[tuple[str, Kind]]) -> Counted:
        """Devices of each kind when these were what they were then: (device, its kind) each."""
        then = [(self._devices.get(device), self.number(kind)) for device, kind in devices]
        size = len(self.kinds)
        affected = np.bincount([number for _, number in then], minlength=size)
        now = np.bincount([number for number, _ in then if number is not None], minlength=size)
        fleet = np.array(self._counts, np.int64) - now + affected
        if len(self._code_arrays[0]) != size:
            self._code_arrays = [np.array(code, np.int64) for code in self._code_of]
        return Counted(self._values, self._code_arrays, affected, fleet)

    def _encode(self, kind: Kind) -> None:
        for subset, values, codes, code_of in zip(SUBSETS, self._values, self._codes, self._code_of, strict=True):
            value = tuple(kind[place] for place in subset)
            if value not in codes:
                codes[value] = len(values)
                values.append(value)
            code_of.append(codes[value])


def _bytes_of(device: str) -> int:
    return DEVICE_BYTES + sys.getsizeof(device)
