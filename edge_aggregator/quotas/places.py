"""Which series have a place in the dictionary: bounded in all and per device, and given back by those not seen any more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPEC: dict[str, tuple[str, float]] = {
    "device": ("u4", 0),
    "live": ("?", 0),
    "used": ("?", 0),
    "seen": ("i8", 0),
    "block": ("i8", 0),
}


class SavedPlaces(msgspec.Struct, frozen=True, array_like=True):
    """Which series had a place, and when each was seen (ms), as packed integers."""

    live: bytes
    seen: bytes


class Places:
    """`columns`, one row a series: its device, whether it has a place (`live`), whether it was used since the last sweep,

    when it was seen last (ms of the gateway's clock at a sweep), and the newest block that may hold samples of it.
    """

    def __init__(self, most: int, per_device: int) -> None:
        self.columns = Columns(_SPEC)
        self.most, self.per_device = most, per_device
        self._held: Counter[int] = Counter()
        self.total = 0

    def holds(self, series: int) -> bool:
        """Whether a series has a place."""
        return bool(self.columns["live"][series])

    def room(self, device: int, *, for_overflow: bool = False) -> bool:
        """Whether another series of this device may have a place; its overflow series counts in the total alone."""
        within = for_overflow or not self.per_device or self._held[device] < self.per_device
        return within and self.total < self.most

    def room_of(self, device: int) -> int:
        """How many more series of this device may have a place, its overflow series left out."""
        within = self.per_device - self._held[device] if self.per_device else self.most
        return max(0, min(within, self.most - self.total))

    def take(self, series: int, device: int) -> None:
        """Give a series a place."""
        self.columns.grow_to(series + 1)
        if not self.columns["live"][series]:
            self.columns["device"][series] = device
            self.columns["live"][series] = self.columns["used"][series] = True
            self._held[device] += 1
            self.total += 1

    def take_all(self, series: slice | list[int], devices: list[int]) -> None:
        """Give known series places that have none yet, with the device of each."""
        live, held = self.columns["live"], ~self.columns["live"][series]
        if not held.all():
            devices = [device for device, is_new in zip(devices, held.tolist(), strict=True) if is_new]
            series = np.arange(len(live))[series][held].tolist()
        for name in ("live", "used"):
            self.columns[name][series] = True
        self.columns["device"][series] = devices
        self._held.update(devices)
        self.total += len(devices)

    def use(self, series: NDArray[np.int64]) -> None:
        """Samples came of these series, shape (n,), in any order and number."""
        self.columns["used"][series] = True

    def sweep(self, now: int, position: int, expiry_ms: int) -> int:
        """Take the place of what was not seen for `expiry_ms`; how many. `position`: the newest block."""
        columns = self.columns
        used = columns["used"]
        columns["seen"][used], columns["block"][used] = now, position
        used[:] = False
        np.minimum(columns["seen"], now, out=columns["seen"])  # a clock that was set back
        over = columns["live"] & (columns["seen"] < now - expiry_ms)
        return self._vacate(over) if over.any() else 0

    def forgettable(self, oldest: int) -> NDArray[np.int64]:
        """The series without a place of which no block from position `oldest` on holds anything."""
        return np.flatnonzero(~self.columns["live"] & (self.columns["block"] < oldest))

    def save(self) -> bytes:
        """As of the last sweep."""
        live, seen = self.columns["live"].astype(np.int64), self.columns["seen"]
        return msgspec.msgpack.encode(SavedPlaces(pack_integers(live), pack_integers(seen)))

    def restore(self, data: bytes, position: int) -> None:
        """As saved, once the series are known; what came since may be anywhere in the blocks up to `position`."""
        saved = msgspec.msgpack.decode(data, type=SavedPlaces)
        live, seen = unpack_integers(saved.live), unpack_integers(saved.seen)
        rows = min(len(live), len(self.columns))
        self.columns["seen"][:rows], self.columns["used"][:rows] = seen[:rows], False
        self.columns["block"][:] = position
        empty = np.zeros(len(self.columns), np.bool_)
        empty[:rows] = live[:rows] == 0
        self._vacate(empty & self.columns["live"])

    def _vacate(self, mask: NDArray[np.bool_]) -> int:
        self._held.subtract(self.columns["device"][mask].tolist())
        self._held = +self._held
        self.columns["live"][mask] = False
        found = int(mask.sum())
        self.total -= found
        return found
