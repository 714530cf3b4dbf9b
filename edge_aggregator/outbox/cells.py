"""Which devices' windows may no longer change their width: because they may have been sent, or are as coarse as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw
    from numpy.typing import NDArray

SCHEMA = """
CREATE TABLE IF NOT EXISTS cells (cell INTEGER PRIMARY KEY, fixed BLOB NOT NULL, coarse BLOB NOT NULL);
"""
CELL_MS = 600_000
"""Time is looked at in cells of this length, aligned to the epoch. Windows of that width never become coarser: nobody asks where they are."""

MOST_CELLS = 4500
"""More than the thirty days of which samples are taken; what is older counts as fixed."""

_FLOOR = -1
_PACKED = msgspec.msgpack.Decoder(dict[int, bytes])


class Extent(NamedTuple):
    """What rollups cover: from `first` to `last` (ms), and by cell the devices (a bit each, the lowest first)."""

    first: int
    last: int
    cells: dict[int, int]

    def packed(self) -> bytes:
        """The cells as bytes."""
        return msgspec.msgpack.encode({cell: as_bytes(bits) for cell, bits in self.cells.items()})

    @staticmethod
    def unpacked(first: int, last: int, cells: bytes) -> Extent:
        """As it was packed."""
        bits = {cell: int.from_bytes(data, "little") for cell, data in _PACKED.decode(cells).items()}
        return Extent(int(first), int(last), bits)


def extent(device: NDArray[np.int64], start: NDArray[np.int64], width: NDArray[np.int64]) -> Extent | None:
    """What windows cover, shape (windows,) each, `device` by id; None without any that may become coarser."""
    fine = width < CELL_MS
    if not fine.any():
        return None
    device, start, end = device[fine], start[fine], start[fine] + width[fine]
    first, last = start // CELL_MS, (end - 1) // CELL_MS  # at most two cells each
    cells: dict[int, int] = {}
    for cell in np.union1d(first, last).tolist():
        there = np.zeros(int(device.max()) + 1, np.bool_)
        there[device[(first == cell) | (last == cell)]] = True
        cells[cell] = int.from_bytes(np.packbits(there, bitorder="little").tobytes(), "little")
    return Extent(int(start.min()), int(end.max()), cells)


class Cells:
    """By cell and device: `fixed`, windows there keep their width for ever; `coarse`, some have become coarser.

    Changes are written by `save`, within the caller's transaction.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._fixed: dict[int, int] = {}
        self._coarse: dict[int, int] = {}
        self._floor = 0
        self._changed: set[int] = set()
        for cell, fixed, coarse in db.execute("SELECT cell, fixed, coarse FROM cells"):
            if cell == _FLOOR:
                self._floor = int.from_bytes(fixed, "little")
            else:
                self._fixed[cell], self._coarse[cell] = (
                    int.from_bytes(fixed, "little"),
                    int.from_bytes(coarse, "little"),
                )

    def fix(self, cells: Iterable[tuple[int, int]]) -> None:
        """Devices, as bits, whose windows in a cell keep their width from now on."""
        self._add(self._fixed, cells)

    def coarsen(self, cells: Iterable[tuple[int, int]]) -> None:
        """Devices, as bits, some of whose windows in a cell have become coarser."""
        self._add(self._coarse, cells)

    def fixed(self, first: int, last: int) -> int:
        """The devices, as bits, of which a window that touches [first, last) (ms) is fixed; -1 when all are."""
        if first // CELL_MS < self._floor:
            return -1
        return _union(self._fixed, first, last)

    def is_coarse(
        self, device: NDArray[np.int64], start: NDArray[np.int64], width: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether windows lie where their device's have become coarser, shape (windows,); `device` by id."""
        found = np.zeros(len(device), np.bool_)
        if any(self._coarse.values()):
            rows = zip(device.tolist(), start.tolist(), (start + width).tolist(), strict=True)
            found[:] = [_union(self._coarse, first, last) >> number & 1 for number, first, last in rows]
            found &= width < CELL_MS
        return found

    def save(self) -> None:
        """Write what has changed."""
        if not self._changed:
            return
        for cell in sorted(self._fixed.keys() | self._coarse.keys())[:-MOST_CELLS]:
            self._fixed.pop(cell, 0), self._coarse.pop(cell, 0)
            self._db.execute("DELETE FROM cells WHERE cell = ?", (cell,))
            self.raise_floor(cell + 1)
        query = "INSERT OR REPLACE INTO cells VALUES (?, ?, ?)"
        for cell in [cell for cell in self._changed if cell >= self._floor]:
            fixed, coarse = self._fixed.get(cell, 0), self._coarse.get(cell, 0)
            self._db.execute(query, (cell, as_bytes(fixed), as_bytes(coarse)))
        self._changed.clear()

    def raise_floor(self, cell: int) -> None:
        """All that lies in cells before this one is fixed."""
        self._floor = max(self._floor, cell)
        self._db.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (_FLOOR, as_bytes(self._floor), b""))

    def _add(self, known: dict[int, int], cells: Iterable[tuple[int, int]]) -> None:
        for cell, bits in cells:
            if known.get(cell, 0) | bits != known.get(cell, 0):
                known[cell] = known.get(cell, 0) | bits
                self._changed.add(cell)


def as_bytes(number: int) -> bytes:
    """A number that is not negative, lowest byte first."""
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def bits_of(devices: Iterable[int]) -> int:
    """Devices as bits."""
    bits = 0
    for device in devices:
        bits |= 1 << device
    return bits


def _union(known: dict[int, int], first: int, last: int) -> int:
    bits = 0
    for cell in range(first // CELL_MS, (last - 1) // CELL_MS + 1):
        bits |= known.get(cell, 0)
    return bits
