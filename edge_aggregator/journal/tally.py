"""How far journal and state have come, said once more in a small file of its own.

A damaged write-ahead log loses its end in silence: SQLite takes the frames before the damage for all that there ever was.
Each line here is written after the commit that it tells of, and is not synced: it may be missing after a power cut, but
it never tells of what was not committed. So when it tells of more than the files hold, the files have lost it.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.storage import SmallFile, Storage

FILE_NAME = "tally"
_SLOTS = 64
_LINE = struct.Struct("<6q")
_SUM = struct.Struct("<I")
_LINE_BYTES = 64


class Told(NamedTuple):
    """The newest block, and how many samples had been received with it.

    Of the state: its boot as a number, its newest ledger entry, and the last block that is processed.
    """

    position: int = 0
    received: int = 0
    boot: int = 0
    seq: int = 0
    processed: int = 0


class Tally:
    """Lines go round in 64 places, so that one that is damaged leaves those before it. Raises apsw.Error."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self._file: SmallFile = storage.open_small(folder / FILE_NAME, _SLOTS * _LINE_BYTES)
        lines = [line for line in map(_read, _cut(self._file.read())) if line]
        self._count = max((line[0] for line in lines), default=0)
        self.told = Told(*max(lines)[1:]) if lines else Told()

    def tell(self, told: Told) -> None:
        """Write a line."""
        self.told, self._count = told, self._count + 1
        line = _LINE.pack(self._count, *told)
        self._file.write(self._count % _SLOTS * _LINE_BYTES, line + _SUM.pack(zlib.crc32(line)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def boot_number(boot: str) -> int:
    """A boot (16 hexadecimal digits) as a number that is positive in 64 bits."""
    return int(boot, 16) >> 1


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + _LINE_BYTES] for at in range(0, len(data), _LINE_BYTES)]


def _read(slot: bytes) -> tuple[int, ...] | None:
    line = slot[: _LINE.size]
    if len(slot) < _LINE.size + _SUM.size or _SUM.pack(zlib.crc32(line)) != slot[_LINE.size : _LINE.size + _SUM.size]:
        return None
    found: tuple[int, ...] = _LINE.unpack(line)
    return found if found[0] > 0 else None
