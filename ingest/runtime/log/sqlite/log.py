"""The embedded log: one SQLite file, shared by any number of processes, with the semantics of Kafka."""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from typing import TYPE_CHECKING

from ingest.runtime.log.limits import check_sizes
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite.changes import Changes
from ingest.runtime.log.sqlite.cleaning import clean
from ingest.runtime.log.sqlite.consumer import GroupConsumer, TailConsumer
from ingest.runtime.log.sqlite.groups import Member, join
from ingest.runtime.log.sqlite.reader import Reader
from ingest.runtime.log.sqlite.records import append_records, newest_records
from ingest.runtime.log.sqlite.topics import Topics
from ingest.runtime.log.sqlite.worker_thread import WorkerThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import apsw

    from ingest.contract.records import Outgoing, Record, TopicPartition
    from ingest.contract.topics import TopicSettings
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Consumer
    from ingest.runtime.log.sqlite.topics import Topic

CLEAN_EVERY_MS = 60_000
LEASE_S = 30.0
"""A member that has not polled for so long loses its partitions to the others of its group."""


class _Append:
    """One call's records on their way into a transaction that several calls may share."""

    def __init__(self, records: Sequence[Outgoing]) -> None:
        self.records = records
        self.done = False
        self.error: Exception | None = None


class SqliteLog:
    """A Log in the file `path`; `clock` stamps the records and measures leases and retention.

    `patience_s`: how long to wait for another process's transaction before LogUnavailableError.
    """

    def __init__(self, path: Path, clock: Clock, *, lease_s: float = LEASE_S, patience_s: float = 5.0) -> None:
        self._clock, self._lease_ms = clock, round(lease_s * 1000)
        self._thread = WorkerThread(path, patience_s)
        self._topics = Topics()
        self._changes = Changes(lambda: self._thread.run(_data_version))
        self._waiting: deque[_Append] = deque()
        self._clean_at = 0

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """Create what is missing; what exists is left as it is. Raises LogUnavailableError."""
        await self._thread.run(lambda db: self._topics.create(db, topics), durable=True)

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append all in one transaction, fsynced on return. Raises LogUnavailableError, RecordTooLargeError."""
        if not records:
            return
        check_sizes(records)
        call = _Append(list(records))
        self._waiting.append(call)
        await self._thread.run(lambda db: self._append_waiting(db, call), durable=True)
        self._changes.notify()
        await self._clean_now_and_then()

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        member: str,
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        """Join `group` as `member`; with group None, read everything alone. Raises LogUnavailableError."""
        reader = Reader(self._thread, self._changes, resume)
        if group is None:
            return TailConsumer(reader, await self._thread.run(lambda db: self._topics.partitions(db, topics)))
        me = Member(group, member, secrets.token_hex(8), tuple(topics), self._lease_ms)
        await self._thread.run(lambda db: self._join(db, me))
        self._changes.notify()
        return GroupConsumer(reader, me, self._topics, self._clock)

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        """The newest record of each key; tombstones are left out. Raises LogUnavailableError."""
        return await self._thread.run(lambda db: newest_records(db, self._topics.find(db, topic)))

    async def close(self) -> None:
        """Close the file; consumers are closed by their owners, before."""
        await self._thread.close()

    def _join(self, db: apsw.Connection, member: Member) -> None:
        self._topics.partitions(db, member.topics)
        join(db, member, self._clock.now_ms())

    def _append_waiting(self, db: apsw.Connection, call: _Append) -> None:
        # One fsync serves every call that has queued up behind the one before.
        if not call.done:
            calls = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._append_together(db, calls)
        if call.error is not None:
            raise call.error

    def _append_together(self, db: apsw.Connection, calls: Iterable[_Append]) -> None:
        placed: list[tuple[Topic, Outgoing]] = []
        for call in calls:
            try:
                placed += [(self._topics.find(db, record.topic), record) for record in call.records]
            except LogUnavailableError as error:  # an unknown topic is that call's problem only
                call.done, call.error = True, error
        taken = [call for call in calls if not call.done]
        try:
            append_records(db, placed, self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 - every call that shares the transaction gets to know
            for call in taken:
                call.error = error
        for call in taken:
            call.done = True

    async def _clean_now_and_then(self) -> None:
        now = self._clock.now_ms()
        if now < self._clean_at:
            return
        self._clean_at = now + CLEAN_EVERY_MS
        # The records are safe by now: a failure here is no failure of the append.
        with contextlib.suppress(LogUnavailableError):
            if not await self._thread.run(lambda db: clean(db, self._topics.known(), now)):
                self._clean_at = now


def _data_version(db: apsw.Connection) -> int:
    return int(db.pragma("data_version"))
