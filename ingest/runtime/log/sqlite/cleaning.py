"""What keeps the embedded log small: records that expired, and superseded ones that every reader had time to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.runtime.log.sqlite.file import OFFSET_BITS
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from ingest.runtime.log.sqlite.topics import Partition, Topic

COMPACTION_LAG_MS = 86_400_000
"""How long a superseded record stays readable, as `min.compaction.lag.ms` in Kafka: readers may lag a day."""

AT_ONCE = 500
"""Rows removed per partition and transaction, so that nobody waits long for the write lock."""


def clean(db: apsw.Connection, topics: Iterable[Topic], now_ms: int) -> bool:
    """Remove some of what may go. False when there is more to do."""
    done = True
    for topic in topics:
        for partition in topic.partitions:
            if topic.compacted:
                done &= _compact(db, partition, now_ms - COMPACTION_LAG_MS)
            if topic.retention_ms >= 0:
                done &= _expire(db, partition, now_ms - topic.retention_ms)
    return done


def _expire(db: apsw.Connection, partition: Partition, before_ms: int) -> bool:
    rows = _old(
        db, "SELECT id, timestamp FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", partition, before_ms
    )
    if rows:
        with transaction(db):
            db.execute("DELETE FROM records WHERE id BETWEEN ? AND ?", (partition.row(0), rows[-1]))
            db.execute("DELETE FROM superseded WHERE record BETWEEN ? AND ?", (partition.row(0), rows[-1]))
            db.execute("DELETE FROM newest WHERE partition = ? AND record <= ?", (partition.id, rows[-1]))
    return len(rows) < AT_ONCE


def _compact(db: apsw.Connection, partition: Partition, before_ms: int) -> bool:
    rows = _old(
        db,
        "SELECT s.record, r.timestamp FROM superseded s JOIN records r ON r.id = s.record"
        " WHERE s.record >= ? AND s.record < ? ORDER BY s.record LIMIT ?",
        partition,
        before_ms,
    )
    if rows:
        with transaction(db):
            db.executemany("DELETE FROM records WHERE id = ?", ((row,) for row in rows))
            db.executemany("DELETE FROM superseded WHERE record = ?", ((row,) for row in rows))
    return len(rows) < AT_ONCE


def _old(db: apsw.Connection, select: str, partition: Partition, before_ms: int) -> list[int]:
    # Within a partition ids rise with time: the first young record ends the search.
    old = []
    for row, timestamp in db.execute(select, (partition.row(0), (partition.id + 1) << OFFSET_BITS, AT_ONCE)):
        if timestamp >= before_ms:
            break
        old.append(row)
    return old
