"""A log under test, and what the tests of every log do with it."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ingest.contract.records import Outgoing, Record, TopicPartition
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from ingest.runtime.log.port import Consumer, Log

DEADLINE_S = 60.0
"""Generous: what is awaited comes in milliseconds on a machine that has nothing else to do."""


class FastForwardClock(SystemClock):
    """The machine's clock, and then some."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class LogPlace(ABC):
    """One log that can be opened several times, as several processes would; topics and groups get names of their own."""

    def __init__(self) -> None:
        self.closing = AsyncExitStack()

    @abstractmethod
    def make(self) -> Log:
        """A new handle on the same log."""

    @abstractmethod
    async def crash(self, consumer: Consumer) -> None:
        """What is left of a consumer whose process was killed: it says nothing any more."""

    @abstractmethod
    def pass_lease(self) -> None:
        """Let the lease of silent members run out, unless there is nothing to do for that but to wait."""

    @abstractmethod
    def outage(self) -> AbstractAsyncContextManager[None]:
        """Inside, nothing can be appended."""

    def open(self) -> Log:
        log = self.make()
        self.closing.push_async_callback(log.close)
        return log

    async def topic(
        self, partitions: int = 4, *, compacted: bool = False, log: Log | None = None, retention_ms: int = 86_400_000
    ) -> str:
        name = f"test.{secrets.token_hex(6)}"
        settings = TopicSettings(partitions, compacted, -1 if compacted else retention_ms)
        await eventually((log or self.open()).ensure_topics, {name: settings})
        return name

    async def join(
        self,
        log: Log,
        topics: str | list[str],
        group: str | None,
        member: str = "a",
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        names = [topics] if isinstance(topics, str) else topics
        consumer = await log.subscribe(names, group=group, member=member, resume=resume)
        self.closing.push_async_callback(consumer.close)
        return consumer


async def eventually(call: Callable[..., object], *arguments: object) -> object:
    """The call's result once the log is available."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return await call(*arguments)  # type: ignore[misc]  # any coroutine function of the port
        except LogUnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def polled(*consumers: Consumer, until: Callable[[list[Record]], bool]) -> list[Record]:
    """All that the consumers get, polled in turn, until it is enough."""
    found: list[Record] = []
    deadline = time.monotonic() + DEADLINE_S
    while not until(found):
        assert time.monotonic() < deadline, f"{len(found)} records, assigned {[c.assigned() for c in consumers]}"
        for consumer in consumers:
            found += await consumer.poll(500, 0.05)
    return found


async def take(consumer: Consumer, count: int) -> list[Record]:
    found = await polled(consumer, until=lambda records: len(records) >= count)
    assert len(found) == count
    return found


async def settle(partitions: int, *consumers: Consumer) -> list[Record]:
    """Poll until the consumers share all partitions evenly, each with one owner."""

    def settled(_: list[Record]) -> bool:
        shares = [consumer.assigned() for consumer in consumers]
        # Until its next heartbeat a member shows what it had, so that for a moment two may seem to own a partition.
        owned = len(set().union(*shares)) == sum(map(len, shares)) == partitions
        fair = {partitions // len(shares), -(-partitions // len(shares))}
        return owned and {len(share) for share in shares} <= fair

    return await polled(*consumers, until=settled)


def numbered(topic: str, count: int, keys: int = 16, first: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, b"key-%d" % (n % keys), b"%d" % n) for n in range(first, first + count)]


def values(records: Iterable[Record]) -> list[int]:
    return sorted(int(record.value or b"-1") for record in records)


def assert_ordered_per_key(records: Iterable[Record]) -> None:
    last: dict[bytes, int] = {}
    for record in records:
        number = int(record.value or b"-1")
        assert number > last.get(record.key, -1), f"{record.key!r}: {number} after {last[record.key]}"
        last[record.key] = number


def following(records: Iterable[Record]) -> dict[TopicPartition, int]:
    return {record.topic_partition: record.offset + 1 for record in records}


async def commit_what_is_held(consumer: Consumer, seen: list[Record]) -> None:
    """Commit the end of the gapless run of seen offsets, as a worker that processes in order would."""
    offsets: dict[TopicPartition, set[int]] = {}
    for record in seen:
        offsets.setdefault(record.topic_partition, set()).add(record.offset)
    done = {
        p: next(n for n in range(10_000) if n not in found) for p, found in offsets.items() if p in consumer.assigned()
    }
    try:
        await consumer.commit(done)
    except PartitionLostError:
        return
