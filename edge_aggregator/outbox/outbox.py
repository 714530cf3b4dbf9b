"""Records that wait for the log, on disk, in the order in which they leave."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.records import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,
    created INTEGER NOT NULL, bytes INTEGER NOT NULL, record BLOB NOT NULL);
"""
HEAD_RECORDS = 256
HEAD_BYTES = 2 * 1024 * 1024

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Outgoing)


class Kind(IntEnum):
    """What a record is, in the order in which records give way when there is no room."""

    ROLLUPS = 0
    HEARTBEAT = 1
    DEAD_LETTER = 2
    EVENT = 3


class Waiting(NamedTuple):
    """A record in the outbox; `created` in ms."""

    id: int
    kind: Kind
    created: int
    record: Outgoing


class Outbox:
    """First in, first out. Writes happen within the caller's transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        row = db.execute("SELECT coalesce(sum(bytes), 0), count(*) FROM outbox").fetchone() or (0, 0)
        self.bytes, self.records = int(row[0]), int(row[1])
        # What may have been sent before a crash: a sent record must not be dropped and counted as lost.
        self._pinned = max((waiting.id for waiting in self.head()), default=0)

    def put(self, kind: Kind, created: int, record: Outgoing) -> int:
        """Add a record at the end; its id."""
        data = _ENCODER.encode(record)
        self._db.execute(
            "INSERT INTO outbox (kind, created, bytes, record) VALUES (?, ?, ?, ?)", (kind, created, len(data), data)
        )
        self.bytes, self.records = self.bytes + len(data), self.records + 1
        return self._db.last_insert_rowid()

    def gone(self) -> int:
        """The id up to which no record waits any more."""
        query = """SELECT coalesce((SELECT min(id) - 1 FROM outbox),
            (SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)"""
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def head(self) -> list[Waiting]:
        """The oldest records, at most `HEAD_RECORDS` and about `HEAD_BYTES`; at least one, if there is any."""
        found: list[Waiting] = []
        size = 0
        rows = self._db.execute("SELECT id, kind, created, record FROM outbox ORDER BY id LIMIT ?", (HEAD_RECORDS,))
        for row in rows:
            size += len(row[3])
            if found and size > HEAD_BYTES:
                break
            found.append(_waiting(*row))
        return found

    def every(self) -> Iterator[Waiting]:
        """All records, oldest first."""
        rows = self._db.execute("SELECT id, kind, created, record FROM outbox ORDER BY id")
        return (_waiting(*row) for row in rows)

    def pin(self, upto: int) -> None:
        """Records up to this id are about to be sent: from now on they may have arrived."""
        self._pinned = max(self._pinned, upto)

    def remove(self, ids: Iterable[int]) -> None:
        """Forget records."""
        for number in ids:
            row = self._db.execute("DELETE FROM outbox WHERE id = ? RETURNING bytes", (number,)).fetchone()
            if row:
                self.bytes, self.records = self.bytes - int(row[0]), self.records - 1

    def droppable(self) -> Iterator[Waiting]:
        """Records that were never sent, in the order in which they give way: by kind, oldest first."""
        for kind in Kind:
            last = self._pinned
            query = "SELECT id, kind, created, record FROM outbox WHERE kind = ? AND id > ? ORDER BY id LIMIT 1"
            while row := self._db.execute(query, (kind, last)).fetchone():
                last = int(row[0])
                yield _waiting(*row)

    def oldest(self) -> int | None:
        """When the record that waits longest was made (ms)."""
        row = self._db.execute("SELECT created FROM outbox ORDER BY id LIMIT 1").fetchone()
        return int(row[0]) if row else None


def _waiting(number: int, kind: int, created: int, data: bytes) -> Waiting:
    return Waiting(int(number), Kind(kind), int(created), _DECODER.decode(data))
