"""What a worker knows, durably: its state, the offsets that the state stands for, and the records still to append.

All three are saved in one transaction, so that after a crash a worker continues from exactly what it had done: records
are processed once, and what they led to is appended at least once (with equal ids).
"""

from __future__ import annotations

from collections import deque
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
    """Records of one row of the queue; `sent(up_to)` forgets these."""

    up_to: int
    records: list[Outgoing]


class Checkpoint:
    """One worker's file. Not for several threads at once; what is queued stays in memory, too, until the log has it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(10_000)
        self._db.execute(_SCHEMA).fetchall()  # a PRAGMA answers with a row: the rest runs once it is read
        rows = self._db.execute("SELECT id, record FROM unsent ORDER BY id")
        self._unsent = deque(Unsent(int(row), _opened(together)) for row, together in rows)

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
        queued = []
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", parts.items())
            self._db.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", [(*p, n) for p, n in positions.items()]
            )
            for together in _cut(outgoing):
                self._db.execute("INSERT INTO unsent (record) VALUES (?)", (_ENCODER.encode(together),))
                queued.append(Unsent(self._db.last_insert_rowid(), together))
        self._unsent += queued

    def unsent(self) -> Unsent:
        """The oldest records still to append, a thousand or some MiB at the most; none when the log has all."""
        return self._unsent[0] if self._unsent else Unsent(0, [])

    def sent(self, up_to: int) -> None:
        """Forget queued records: the log has them. Without an fsync: after a power cut they are sent again, with equal ids."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            self._db.execute("DELETE FROM unsent WHERE id <= ?", (up_to,))
        finally:
            self._db.execute("PRAGMA synchronous = FULL")
        while self._unsent and self._unsent[0].up_to <= up_to:
            self._unsent.popleft()

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _cut(outgoing: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    together, size = list[Outgoing](), 0
    for record in outgoing:
        together.append(record)
        size += len(record.value or b"")
        if len(together) == _MOST_RECORDS or size >= _MOST_BYTES:
            yield together
            together, size = [], 0
    if together:
        yield together


def _opened(row: bytes) -> list[Outgoing]:
    together = _DECODER.decode(row)
    return together if isinstance(together, list) else [together]
