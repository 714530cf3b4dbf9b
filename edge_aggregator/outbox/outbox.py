"""Records that wait for the log, on disk: what is new leaves first, what has been overtaken drains beside it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_aggregator.outbox.cells import Extent
from ingest.contract.records import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,
    created INTEGER NOT NULL, bytes INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, created INTEGER NOT NULL,
    bytes INTEGER NOT NULL, place INTEGER NOT NULL, tried INTEGER NOT NULL, level INTEGER NOT NULL,
    first INTEGER, last INTEGER, cells BLOB);
CREATE INDEX IF NOT EXISTS waiting_order ON waiting (tried, kind, place, id);
CREATE INDEX IF NOT EXISTS waiting_level ON waiting (level, place, id) WHERE kind = 0 AND tried = 0;
CREATE INDEX IF NOT EXISTS waiting_first ON waiting (first) WHERE first IS NOT NULL;
"""
"""`waiting` has one small row a record, so that choosing the next ones never touches the records of a large outbox."""

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


class Tried(IntEnum):
    """Whether a record may have arrived, and how it was sent: as news, or as backlog."""

    NEVER = 0
    FRESH = 1
    BACKLOG = 2


class Waiting(NamedTuple):
    """A record in the outbox; `created` in ms. `place` orders records by age, whenever they were written."""

    id: int
    kind: Kind
    created: int
    record: Outgoing
    place: int = 0
    tried: Tried = Tried.NEVER


class Row(NamedTuple):
    """What is known of a record without reading it; `created` in ms."""

    id: int
    bytes: int
    place: int
    created: int


class Covering(NamedTuple):
    """A record that covers some of a time, and at which level it is."""

    row: Row
    extent: Extent
    level: int


class Outbox:
    """Writes happen within the caller's transaction. What is handed out is not handed out again until it is `returned`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        row = db.execute("SELECT coalesce(sum(bytes), 0), count(*) FROM waiting").fetchone() or (0, 0)
        self.bytes, self.records = int(row[0]), int(row[1])
        self._out: set[int] = set()
        self._overtaken = self._newest_tried()

    def put(
        self,
        kind: Kind,
        created: int,
        record: Outgoing,
        extent: Extent | None = None,
        *,
        level: int = 0,
        place: int | None = None,
    ) -> int:
        """Add a record; its id. `extent` says what rollups cover; `place` keeps the age of records that it stands for."""
        data = _ENCODER.encode(record)
        self._db.execute(
            "INSERT INTO outbox (kind, created, bytes, record) VALUES (?, ?, ?, ?)", (kind, created, len(data), data)
        )
        number = self._db.last_insert_rowid()
        first, last, cells = (extent.first, extent.last, extent.packed()) if extent else (None, None, None)
        row = (number, kind, created, len(data), place or number, Tried.NEVER, level, first, last, cells)
        self._db.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.bytes, self.records = self.bytes + len(data), self.records + 1
        return number

    def gone(self) -> int:
        """The id up to which no record waits any more."""
        query = """SELECT coalesce((SELECT min(id) - 1 FROM waiting),
            (SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)"""
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def fresh(self) -> list[Waiting]:
        """What goes next: what may have been sent already, else events in their order and the newest rollups.

        At most `HEAD_RECORDS` and about `HEAD_BYTES`, older ones before newer ones. Rollups older than these are backlog.
        """
        again = self._fitting(self._rows(Tried.FRESH, Kind, HEAD_RECORDS), HEAD_BYTES)
        if again:
            return self._hand_out(again)
        events = self._fitting(self._rows(Tried.NEVER, tuple(Kind)[1:], HEAD_RECORDS), HEAD_BYTES // 4)
        query = """SELECT id, bytes, place, created FROM waiting WHERE tried = 0 AND kind = 0 AND place > ?
            ORDER BY place DESC, id DESC LIMIT ?"""
        newest = self._fitting(self._read(query, (self._overtaken,), HEAD_RECORDS), HEAD_BYTES)
        self._overtaken = max([self._overtaken, *(row.place for row in newest)])
        return self._hand_out([*events, *newest])

    def backlog(self, most_bytes: int) -> list[Waiting]:
        """Rollups that newer ones have overtaken, the newest of them first; about so many bytes, at least one."""
        again = self._fitting(self._rows(Tried.BACKLOG, Kind, HEAD_RECORDS), most_bytes)
        if again:
            return self._hand_out(again)
        query = """SELECT id, bytes, place, created FROM waiting WHERE tried = 0 AND kind = 0 AND place <= ?
            ORDER BY place DESC, id DESC LIMIT ?"""
        return self._hand_out(self._fitting(self._read(query, (self._overtaken,), HEAD_RECORDS), most_bytes))

    def mark(self, waiting: Iterable[Waiting], tried: Tried) -> list[Extent]:
        """Records are about to be sent: from now on they may have arrived. What those cover that were never tried."""
        found = []
        for one in waiting:
            if one.tried is not tried:
                query = "UPDATE waiting SET tried = ? WHERE id = ? RETURNING first, last, cells"
                row = self._db.execute(query, (tried, one.id)).fetchone()
                if row and row[2] is not None and one.tried is Tried.NEVER:
                    found.append(Extent.unpacked(*row))
        return found

    def returned(self, waiting: Iterable[Waiting]) -> None:
        """Records that were handed out and not sent."""
        self._out.difference_update(one.id for one in waiting)

    def take_back(self, but: Iterable[int] = ()) -> None:
        """Whatever was handed out was not sent, or is gone; but for these, which will never be."""
        self._out = set(but)

    def every(self) -> Iterator[Waiting]:
        """All records, oldest first."""
        rows = self._db.execute("SELECT id, bytes, place, created FROM waiting ORDER BY place, id")
        return (self.read(Row(*row)) for row in rows)

    def remove(self, ids: Iterable[int]) -> None:
        """Forget records."""
        for number in ids:
            row = self._db.execute("DELETE FROM waiting WHERE id = ? RETURNING bytes", (number,)).fetchone()
            if row:
                self._db.execute("DELETE FROM outbox WHERE id = ?", (number,))
                self.bytes, self.records = self.bytes - int(row[0]), self.records - 1
                self._out.discard(number)

    def droppable(self) -> Iterator[Waiting]:
        """Records that were never sent, in the order in which they give way: by kind, oldest first."""
        for kind in Kind:
            query = (
                "SELECT id, bytes, place, created FROM waiting WHERE tried = 0 AND kind = ? ORDER BY place, id LIMIT 1"
            )
            while rows := self._read(query, (kind,)):
                yield self.read(rows[0])

    def forget_heartbeats(self) -> None:
        """Forget heartbeats that were never sent: the one that comes now says all that they say."""
        rows = self._read(
            "SELECT id, bytes, place, created FROM waiting WHERE tried = 0 AND kind = ?", (Kind.HEARTBEAT,)
        )
        self.remove([row.id for row in rows])

    def oldest_of(self, level: int) -> Row | None:
        """The oldest rollups of a level that were never sent."""
        query = """SELECT id, bytes, place, created FROM waiting
            WHERE kind = 0 AND tried = 0 AND level = ? ORDER BY place, id LIMIT 1"""
        row = self._db.execute(query, (level,)).fetchone()
        return Row(*row) if row else None

    def covering(self, first: int, last: int) -> list[Covering]:
        """Rollups that were never sent and cover some of [first, last) (ms), oldest first; see `extent`."""
        query = """SELECT id, bytes, place, created, first, last, cells, level FROM waiting
            WHERE first IS NOT NULL AND first < ? AND last > ? AND kind = 0 AND tried = 0 ORDER BY place, id"""
        rows = self._db.execute(query, (last, first))
        return [Covering(Row(*row[:4]), Extent.unpacked(*row[4:7]), row[7]) for row in rows]

    def read(self, row: Row) -> Waiting:
        """A record that waits."""
        query = "SELECT kind, tried FROM waiting WHERE id = ?"
        kind, tried = self._db.execute(query, (row.id,)).fetchone() or (0, 0)
        data = self._db.execute("SELECT record FROM outbox WHERE id = ?", (row.id,)).fetchone()
        record = _DECODER.decode(data[0] if data else b"")
        return Waiting(row.id, Kind(kind), row.created, record, row.place, Tried(tried))

    def raise_level(self, row: Row, level: int) -> None:
        """These rollups stay as they are until a higher level's turn comes."""
        self._db.execute("UPDATE waiting SET level = ? WHERE id = ?", (level, row.id))

    def oldest(self, kinds: Iterable[Kind] = Kind) -> int | None:
        """When the record (of these kinds) that waits longest was made (ms), also while it is being sent."""
        query = "SELECT created FROM waiting WHERE tried = ? AND kind = ? ORDER BY place, id LIMIT 1"
        found = [self._db.execute(query, (tried, kind)).fetchone() for tried in Tried for kind in kinds]
        return min((int(row[0]) for row in found if row), default=None)

    def earliest_window(self) -> int | None:
        """The start (ms) of the earliest window that waits."""
        row = self._db.execute("SELECT min(first) FROM waiting WHERE first IS NOT NULL").fetchone()
        return int(row[0]) if row and row[0] is not None else None

    def _rows(self, tried: Tried, kinds: Iterable[Kind], most: int) -> list[Row]:
        query = "SELECT id, bytes, place, created FROM waiting WHERE tried = ? AND kind = ? ORDER BY place, id LIMIT ?"
        found = [row for kind in kinds for row in self._read(query, (tried, kind), most)]
        return sorted(found, key=lambda row: (row.place, row.id))

    def _read(self, query: str, values: tuple[int, ...], most: int | None = None) -> list[Row]:
        # What is out already is passed over; it is never more than a few rounds.
        limit = () if most is None else (most + len(self._out),)
        rows = (Row(*row) for row in self._db.execute(query, values + limit))
        return [row for row in rows if row.id not in self._out][:most]

    def _fitting(self, rows: list[Row], most_bytes: int) -> list[Row]:
        size, fitting = 0, list[Row]()
        for row in rows[:HEAD_RECORDS]:
            size += row.bytes
            if fitting and size > most_bytes:
                break
            fitting.append(row)
        return fitting

    def _hand_out(self, rows: list[Row]) -> list[Waiting]:
        found = [self.read(row) for row in sorted(rows, key=lambda row: (row.place, row.id))]
        self._out.update(one.id for one in found)
        return found

    def _newest_tried(self) -> int:
        query = "SELECT coalesce(max(place), -1) FROM waiting WHERE tried > 0 AND kind = 0"
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else -1
