"""What a worker knows, durably: its state, the offsets that the state stands for, and the records still to append.

All three are saved in one transaction, so that after a crash a worker continues from exactly what it had done: records
are processed once, and what they led to is appended at least once (with equal ids).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw
import msgspec

from ingest.contract.records import Outgoing, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (topic TEXT, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, part))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsent (id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
"""

_MOST_RECORDS = 1000
_MOST_BYTES = 4 * 1024 * 1024
"""So much is queued in one row at the most, and one record: a row for each costs more than all else that is done with it."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[list[Outgoing] | Outgoing] = msgspec.msgpack.Decoder(list[Outgoing] | Outgoing)
"""Releases before queued each record in a row of its own."""


class Unsent(NamedTuple):
    """Queued records, oldest first; `sent(up_to)` forgets exactly these."""

    up_to: int
    records: list[Outgoing]


class Checkpoint:
    """One worker's file. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(10_000)
        self._db.execute(_SCHEMA).fetchall()  # a PRAGMA answers with a row: the rest runs once it is read

    def load(self) -> dict[str, bytes]:
        """The saved parts of the state by name; empty at the first start."""
        return {str(name): bytes(value) for name, value in self._db.execute("SELECT name, value FROM state")}

    def names(self) -> list[str]:
        """Of the saved parts."""
        return [str(name) for (name,) in self._db.execute("SELECT name FROM state ORDER BY name")]

    def part(self, name: str) -> bytes:
        """One saved part. Raises KeyError."""
        value = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).get
        if value is None:
            raise KeyError(name)
        return bytes(value)

    def positions(self) -> dict[TopicPartition, int]:
        """Per partition, the offset of the next record to process."""
        rows = self._db.execute("SELECT topic, part, next FROM positions")
        return {TopicPartition(str(topic), int(part)): int(following) for topic, part, following in rows}

    def save(
        self,
        parts: Mapping[str, bytes],
        positions: Mapping[TopicPartition, int],
        outgoing: Sequence[Outgoing],
    ) -> None:
        """Replace the given parts and positions and queue `outgoing`, all or nothing, fsynced on return."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", parts.items())
            self._db.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", [(*p, n) for p, n in positions.items()]
            )
            self._db.executemany("INSERT INTO unsent (record) VALUES (?)", ((row,) for row in _rows(outgoing)))

    def unsent(self) -> Unsent:
        """The oldest records still to append, some thousand or some MiB of them; without records when the log has all."""
        up_to, size, records = 0, 0, list[Outgoing]()
        for row, packed in self._db.execute("SELECT id, record FROM unsent ORDER BY id LIMIT ?", (_MOST_RECORDS,)):
            one = _DECODER.decode(packed)
            up_to, size = int(row), size + len(packed)
            records += one if isinstance(one, list) else [one]
            if len(records) >= _MOST_RECORDS or size >= _MOST_BYTES:
                break
        return Unsent(up_to, records)

    def sent(self, up_to: int) -> None:
        """Forget queued records: the log has them. Without an fsync: after a power cut they are sent again, with equal ids."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            self._db.execute("DELETE FROM unsent WHERE id <= ?", (up_to,))
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _rows(outgoing: Iterable[Outgoing]) -> Iterator[bytes]:
    together, size = list[Outgoing](), 0
    for record in outgoing:
        together.append(record)
        size += len(record.value or b"")
        if len(together) == _MOST_RECORDS or size >= _MOST_BYTES:
            yield _ENCODER.encode(together)
            together, size = [], 0
    if together:
        yield _ENCODER.encode(together)
