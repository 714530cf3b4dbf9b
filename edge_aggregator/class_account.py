"""The account by device, as columns, and its totals by class: what became of the samples of each kind of hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_aggregator.by_device import NOBODY, added
from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers
from ingest.contract.ledger import ClassCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.by_device import ByDevice

MOST_CLASSES = 62
"""Beside the unknown class and `OTHER`."""
UNKNOWN, OTHER = "", "other"
_KEPT = ("received", "rolled_up", "duplicate", "rejected", "dropped")


class DeviceAccount:
    """What became of the samples of each device, and of which class it is now. Rows by device id.

    `columns`: samples since the account began, by what became of them; what is left of those received is open. Whatever
    the devices do not add up to in the gateway's account is of the unknown class: what was received before anybody knew
    of which device it is.
    """

    def __init__(self, saved: Mapping[str, bytes] | None = None) -> None:
        self.columns = Columns(dict.fromkeys((*_KEPT, "class"), ("i8", 0)))
        self._numbers = {UNKNOWN: 0}
        for name, data in (saved or {}).items():
            self.add(name, unpack_integers(data))

    def add(self, name: str, samples: ByDevice) -> None:
        """Count samples in one of the columns."""
        self.columns.grow_to(len(samples))
        self.columns[name][: len(samples)] += samples

    def describe(self, device: int, hardware: str) -> None:
        """The whole account of a device is of this class from now on."""
        self.columns.grow_to(device + 1)
        if hardware not in self._numbers:
            if len(self._numbers) > 2 * len(self.columns):
                self._forget_unused()
            self._numbers[hardware] = len(self._numbers)
        self.columns["class"][device] = self._numbers[hardware]

    def open(self) -> ByDevice:
        """Samples that are open, shape (devices,)."""
        received, *explained = (self.columns[name] for name in _KEPT)
        still: NDArray[np.int64] = received - sum(explained)
        return still

    def take_back(self, samples: ByDevice) -> None:
        """Samples that are rolled up no more. Those that a device had not rolled up itself were of the unknown class."""
        self.columns.grow_to(len(samples))
        foreign = np.maximum(samples - self.columns["rolled_up"][: len(samples)], 0)
        self.add("received", foreign)
        self.add("rolled_up", foreign - samples)

    def classes(self, totals: ClassCounts, net: ByDevice = NOBODY) -> dict[str, ClassCounts]:
        """The account by class when `net` more samples are rolled up; `totals` is the gateway's then. See `by_class`."""
        self.columns.grow_to(len(net))
        received, rolled_up, *others = (self.columns[name] for name in _KEPT)
        rolled_up = added(rolled_up, net)
        still = received - rolled_up - sum(others)
        of, size = self.columns["class"], len(self._numbers)
        columns = [np.bincount(of, column, size) for column in (received, rolled_up, *others, still)]
        return by_class(list(self._numbers), np.stack(columns, axis=1).astype(np.int64), totals)

    def save(self) -> dict[str, bytes]:
        """All but the classes, which the devices' records tell."""
        return {name: pack_integers(self.columns[name]) for name in _KEPT}

    def _forget_unused(self) -> None:
        # What no device is called any more: else a device that makes up names without end would fill the memory.
        names, (used, number) = list(self._numbers), np.unique(np.append(0, self.columns["class"]), return_inverse=True)
        self._numbers = {names[old]: new for new, old in enumerate(used.tolist())}
        self.columns["class"][:] = number[1:]


def by_class(names: Sequence[str], sums: NDArray[np.int64], totals: ClassCounts) -> dict[str, ClassCounts]:
    """Totals by class, each with its name: `sums`, shape (classes, 6), are of devices, the first class is the unknown one.

    What they do not add up to is of the unknown class, and classes beyond the 62 that received most are of `OTHER`. Where
    one would have less than nothing of anything there are no classes at all, as the contract wants every class or none.
    """
    sums[0] += np.array(msgspec.structs.astuple(totals), np.int64) - sums.sum(axis=0)
    if (sums < 0).any():
        return {}
    own = _own(names, sums[:, 0])
    found = {names[number]: sums[number] for number in own}
    found[OTHER] = found.get(OTHER, 0) + sums.sum(axis=0) - sums[own].sum(axis=0)
    return {name: ClassCounts(*row.tolist()) for name, row in found.items() if row.any()}


def _own(names: Sequence[str], received: NDArray[np.int64]) -> list[int]:
    # The classes that have a count of their own.
    always = [number for number in range(len(names)) if names[number] in (UNKNOWN, OTHER)]
    others = np.argsort(-received, kind="stable")
    most: list[int] = others[~np.isin(others, always)][:MOST_CLASSES].tolist()
    return always + most
