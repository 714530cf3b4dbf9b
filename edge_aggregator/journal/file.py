"""One file of the journal: blocks by position, and the names of the devices and series that occur in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import msgspec
import numpy as np

from edge_aggregator.journal.block import LostBlock, Row, as_lost, from_row
from edge_aggregator.names import SeriesName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import Decoded
    from edge_aggregator.journal.block import Block
    from edge_aggregator.names import Names
    from edge_aggregator.storage import Storage

SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (position INTEGER PRIMARY KEY, min_ts INTEGER NOT NULL, max_ts INTEGER NOT NULL,
    samples INTEGER NOT NULL, received INTEGER NOT NULL, taken INTEGER NOT NULL, head INTEGER NOT NULL,
    body INTEGER NOT NULL, columns BLOB NOT NULL, notes BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS blocks_by_time ON blocks (max_ts, min_ts);
CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, metric TEXT NOT NULL,
    labels BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (position INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""
_COLUMNS = "position, min_ts, max_ts, samples, received, taken, head, body, CAST(columns AS BLOB), CAST(notes AS BLOB)"
_LABELS = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])


class JournalFile:
    """A file and its connection. Raises apsw.Error."""

    def __init__(self, path: Path, storage: Storage) -> None:
        self.path = path
        self._db = storage.open(path, SCHEMA)
        self._page_bytes = int(self._db.pragma("page_size"))
        self._devices = {int(row[0]) for row in self._db.execute("SELECT id FROM devices")}
        rows = self._db.execute("SELECT position, reason FROM quarantine")
        self._quarantined = {int(position): str(reason) for position, reason in rows}
        self._series = _Seen(row[0] for row in self._db.execute("SELECT id FROM series"))

    def append(self, row: Row, decoded: Decoded, names: Names) -> None:
        """Write a block and the names that it is the first here to use, in one synced transaction."""
        series = self._series.new(decoded.samples.series)
        devices = {message.device for message in decoded.notes.messages} | set(decoded.notes.heard)
        devices |= {names.series[number].device for number in series}
        fresh = sorted(devices - self._devices)
        with self._db:
            if fresh:
                self._db.executemany("INSERT INTO devices VALUES (?, ?)", [(d, names.devices[d]) for d in fresh])
            if series:
                self._db.executemany("INSERT INTO series VALUES (?, ?, ?, ?)", _series_rows(series, names))
            self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._devices.update(fresh)
        self._series.add(series)

    def define(self, names: Names, since: tuple[int, int]) -> None:
        """Teach `names` the devices and series that this file knows, from these ids on."""
        for device, name in self._db.execute("SELECT id, name FROM devices WHERE id >= ?", (since[0],)):
            names.define_device(int(device), str(name))
        rows = self._db.execute("SELECT id, device, metric, labels FROM series WHERE id >= ?", (since[1],))
        names.define_plain(
            [(number, SeriesName(d, metric, _LABELS.decode(labels))) for number, d, metric, labels in rows]
        )

    def last(self) -> tuple[int, int] | None:
        """Position and arrival (ms) of the last block; None when there is none."""
        row = self._db.execute("SELECT position, taken FROM blocks ORDER BY position DESC LIMIT 1").fetchone()
        return (int(row[0]), int(row[1])) if row else None

    def newest_ts(self) -> int:
        """The greatest timestamp of all samples here; -1 without any."""
        row = self._db.execute("SELECT max(max_ts) FROM blocks").fetchone()
        return -1 if row is None or row[0] is None else int(row[0])

    def positions(self, first: int, last: int) -> list[int]:
        """Positions of the blocks from `first` to `last`, both included."""
        query = "SELECT position FROM blocks WHERE position BETWEEN ? AND ? ORDER BY position"
        return [int(row[0]) for row in self._db.execute(query, (first, last))]

    def overlapping(self, start: int, end: int) -> list[int]:
        """Positions of the blocks with samples that may lie in [start, end)."""
        query = "SELECT position FROM blocks WHERE max_ts >= ? AND min_ts < ?"
        return [int(row[0]) for row in self._db.execute(query, (start, end))]

    def read(self, positions: Iterable[int]) -> Iterator[Block | LostBlock]:
        """The blocks at these positions; one that is damaged does not hide the others."""
        for position in positions:
            try:
                row = self._db.execute(f"SELECT {_COLUMNS} FROM blocks WHERE position = ?", (position,)).fetchone()  # noqa: S608 - a constant
            except (apsw.CorruptError, apsw.NotADBError, apsw.IOError, UnicodeDecodeError) as error:
                yield LostBlock(position, str(error))
                continue
            found = from_row(Row(*row)) if row else LostBlock(position, "the row is missing")
            yield found if position not in self._quarantined else as_lost(found, self._quarantined[position])

    def quarantine(self, lost: LostBlock) -> bool:
        """Remember why a block cannot be read, so that it never comes back by chance; whether that is news."""
        if lost.position in self._quarantined:
            return False
        self._quarantined[lost.position] = lost.reason
        self._db.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?)", (lost.position, lost.reason))
        return True

    def bytes(self) -> int:
        """Size of the database once its write-ahead log is folded in."""
        return int(self._db.pragma("page_count")) * self._page_bytes

    def close(self) -> None:
        """Fold the write-ahead log in and close."""
        self._db.close()


class _Seen:
    """A growing set of small integers, asked for many at once."""

    def __init__(self, numbers: Iterable[object]) -> None:
        self._mask = np.zeros(1024, np.bool_)
        self.add([int(str(number)) for number in numbers])

    def new(self, numbers: NDArray[np.int64]) -> list[int]:
        if not len(numbers):
            return []
        self._grow(int(numbers.max()))
        fresh: list[int] = np.unique(numbers[~self._mask[numbers]]).tolist()
        return fresh

    def add(self, numbers: list[int]) -> None:
        if numbers:
            self._grow(max(numbers))
            self._mask[numbers] = True

    def _grow(self, greatest: int) -> None:
        if greatest >= len(self._mask):
            grown = np.zeros(max(greatest + 1, 2 * len(self._mask)), np.bool_)
            grown[: len(self._mask)] = self._mask
            self._mask = grown


def _series_rows(series: list[int], names: Names) -> list[tuple[int, int, str, bytes]]:
    rows = [(number, names.series[number]) for number in series]
    return [(number, name.device, name.metric, msgspec.msgpack.encode(name.labels)) for number, name in rows]
