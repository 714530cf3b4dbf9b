"""Records in the embedded log: appending, reading on, and the newest record of each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ingest.contract.records import Headers, Record
from ingest.runtime.log.placement import place
from ingest.runtime.log.sqlite.file import OFFSET_BITS
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from ingest.contract.records import Outgoing
    from ingest.runtime.log.sqlite.topics import Partition, Topic

MAX_POLL_BYTES = 16 * 1024 * 1024
"""A poll returns no more than this, and at least one record."""

_HEADERS_ENCODER = msgspec.msgpack.Encoder()
_HEADERS_DECODER = msgspec.msgpack.Decoder(Headers)
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


def append_records(db: apsw.Connection, records: Iterable[tuple[Topic, Outgoing]], now_ms: int) -> None:
    """Append in the order given, in one transaction."""
    following: dict[int, int] = {}
    rows: list[tuple[int, int, bytes, bytes, bytes | None]] = []
    with transaction(db):
        for topic, record in records:
            partition = place(record.key, topic.partitions)
            if partition.id not in following:
                following[partition.id] = end_offset(db, partition)
            row = partition.row(following[partition.id])
            rows.append((row, now_ms, record.key, _HEADERS_ENCODER.encode(record.headers), record.value))
            if topic.compacted:
                _note_newest(db, partition, row, record)
            following[partition.id] += 1
        db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows)
        db.executemany("UPDATE partitions SET next = ?2 WHERE id = ?1", following.items())


def end_offset(db: apsw.Connection, partition: Partition) -> int:
    """The offset that the partition's next record will get."""
    return int(db.execute("SELECT next FROM partitions WHERE id = ?", (partition.id,)).get)


def read_on(db: apsw.Connection, places: Sequence[tuple[Partition, int]], max_records: int) -> list[Record]:
    """Records from each partition's offset on, partition by partition, until there are enough of them (or bytes)."""
    records: list[Record] = []
    room = MAX_POLL_BYTES
    for partition, offset in places:
        rows = db.execute(
            "SELECT id, timestamp, key, headers, value FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (partition.row(offset), partition.row(_OFFSET_MASK), max_records - len(records)),
        )
        for row in rows:
            records.append(_record(partition, row))
            room -= len(records[-1].value or b"") + len(records[-1].key)
            if room <= 0:
                return records
        if len(records) >= max_records:
            break
    return records


def newest_records(db: apsw.Connection, topic: Topic) -> dict[bytes, Record]:
    """The newest record of each key whose newest is no tombstone."""
    newest = _FROM_INDEX if topic.compacted else _FROM_SCAN
    found: dict[bytes, Record] = {}
    for partition in topic.partitions:
        bounds = {"partition": partition.id, "first": partition.row(0), "last": partition.row(_OFFSET_MASK)}
        for row in db.execute(newest, bounds):
            record = _record(partition, row)
            found[record.key] = record
    return found


_FROM_INDEX = """
SELECT id, timestamp, r.key, headers, value FROM newest n JOIN records r ON r.id = n.record
WHERE n.partition = :partition ORDER BY id
"""
_FROM_SCAN = """
SELECT id, timestamp, key, headers, value FROM records WHERE value IS NOT NULL AND id IN
(SELECT max(id) FROM records WHERE id BETWEEN :first AND :last GROUP BY key) ORDER BY id
"""


def _note_newest(db: apsw.Connection, partition: Partition, row: int, record: Outgoing) -> None:
    name = (partition.id, record.key)
    db.execute("INSERT INTO superseded SELECT record FROM newest WHERE partition = ? AND key = ?", name)
    if record.value is None:
        # A tombstone stays readable like any superseded record, and then goes as well.
        db.execute("DELETE FROM newest WHERE partition = ? AND key = ?", name)
        db.execute("INSERT INTO superseded VALUES (?)", (row,))
    else:
        db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?)", (*name, row))


def _record(partition: Partition, row: Any) -> Record:
    number, timestamp, key, headers, value = row
    topic, part = partition.place
    return Record(topic, part, number & _OFFSET_MASK, key, value, _HEADERS_DECODER.decode(headers), timestamp)
