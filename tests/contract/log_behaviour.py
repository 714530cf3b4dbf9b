"""What every Log does, whatever it is made of. Each adapter's test module runs all of it against a `LogPlace`."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from ingest.contract.records import Outgoing, Record, TopicPartition
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.limits import MAX_RECORD_BYTES
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError, RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
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
    """Poll until the consumers share all partitions evenly, each with one owner at most."""

    def settled(_: list[Record]) -> bool:
        shares = [consumer.assigned() for consumer in consumers]
        assert len(set().union(*shares)) == sum(map(len, shares)) or not all(shares), "two owners"
        fair = {partitions // len(shares), -(-partitions // len(shares))}
        return sum(map(len, shares)) == partitions and {len(share) for share in shares} <= fair

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


class LogBehaviour:
    """The suite. A subclass has a fixture `place`."""

    @pytest.fixture
    async def tidy(self, place: LogPlace) -> AsyncIterator[None]:
        yield
        await place.closing.aclose()

    @pytest.fixture(autouse=True)
    def _tidied(self, tidy: None) -> None:
        """Everything that a test opened is closed, also when it failed."""

    async def test_records_come_back_as_they_were_in_order_per_key(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(log=log)
        headers = (("traceparent", b"00-1"), ("ce_id", b"\x00\xff"), ("ce_id", b""))
        for first in range(0, 300, 100):
            await log.append(numbered(topic, 100, first=first))
        await log.append([Outgoing(topic, b"", b"300", headers), Outgoing(topic, b"\xff\x00", b"301")])
        records = await take(await place.join(log, topic, None), 302)
        assert values(records) == list(range(302))
        assert_ordered_per_key(records)
        assert next(record for record in records if record.value == b"300").headers == headers
        assert all(record.topic == topic for record in records)
        places: dict[bytes, set[int]] = {}
        for record in records:
            places.setdefault(record.key, set()).add(record.partition)
        assert all(len(partitions) == 1 for partitions in places.values())
        assert len(set().union(*places.values())) > 1

    async def test_offsets_count_up_from_zero_and_timestamps_are_when_the_log_took_it(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        before = time.time_ns() // 1_000_000
        await log.append(numbered(topic, 50))
        records = await take(await place.join(log, topic, None), 50)
        for partition in (0, 1):
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == list(range(len(offsets)))
        after = time.time_ns() // 1_000_000
        assert all(before <= record.timestamp <= after for record in records)

    async def test_tombstones_and_empty_values_differ(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        await log.append([Outgoing(topic, b"k", b""), Outgoing(topic, b"k", None)])
        assert [r.value for r in await take(await place.join(log, topic, None), 2)] == [b"", None]

    async def test_appending_nothing_is_fine(self, place: LogPlace) -> None:
        await place.open().append([])

    async def test_members_share_a_topic_and_groups_do_not(self, place: LogPlace) -> None:
        log, other = place.open(), place.open()
        topic = await place.topic(6, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(other, topic, f"{topic}.g", "two")
        await settle(6, one, two)
        alone = await place.join(log, topic, f"{topic}.h", "one")
        await settle(6, alone)
        await log.append(numbered(topic, 200))
        shared = await polled(one, two, until=lambda found: len(found) >= 200)
        assert values(shared) == list(range(200))
        assert values(await take(alone, 200)) == list(range(200))

    async def test_several_topics_are_shared_together(self, place: LogPlace) -> None:
        log = place.open()
        topics = [await place.topic(3, log=log), await place.topic(1, log=log)]
        one = await place.join(log, topics, f"{topics[0]}.g", "one")
        two = await place.join(log, topics, f"{topics[0]}.g", "two")
        await settle(4, one, two)

    async def test_a_member_keeps_what_it_has_when_another_joins(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        await settle(4, one)
        two = await place.join(log, topic, f"{topic}.g", "two")
        await settle(4, one, two)
        kept = one.assigned()
        three = await place.join(log, topic, f"{topic}.g", "three")
        await settle(4, one, two, three)
        assert one.assigned() <= kept

    async def test_who_leaves_hands_over_at_the_committed_offsets(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        await log.append(numbered(topic, 100))
        one = await place.join(log, topic, f"{topic}.g", "one")
        first = await take(one, 100)
        done = dict.fromkeys(following(first), 3)
        await one.commit(done)
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await one.close()
        expected = [r for r in first if r.offset >= done[r.topic_partition]]
        second = await take(two, len(expected))
        assert values(second) == values(expected)
        assert two.assigned() == {TopicPartition(topic, part) for part in range(4)}

    async def test_nothing_is_lost_while_members_come_and_go(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        members: list[Consumer] = []
        seen: list[Record] = []
        for turn in range(6):
            members.append(await place.join(place.open(), topic, f"{topic}.g", f"m{turn}"))
            await log.append(numbered(topic, 50, first=50 * turn))
            for consumer in members:
                seen += await consumer.poll(30, 0.2)
                await _commit_what_is_held(consumer, seen)
            if turn % 2:
                await members.pop(0).close()
        seen += await polled(*members, until=lambda found: {*values(seen), *values(found)} == set(range(300)))
        assert set(values(seen)) == set(range(300))

    async def test_resume_wins_over_what_was_committed(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append([Outgoing(topic, b"key-%d" % n, b"%d" % n) for n in range(60)])
        one = await place.join(log, topic, f"{topic}.g")
        everything = await take(one, 60)
        ends = following(everything)
        await one.commit(dict.fromkeys(ends, 5))
        await one.close()
        places = {TopicPartition(topic, 0): 7}
        again = await place.join(log, topic, f"{topic}.g", resume=places.get)
        count = ends[TopicPartition(topic, 0)] - 7 + ends[TopicPartition(topic, 1)] - 5
        records = await take(again, count)
        assert min(r.offset for r in records if r.partition == 0) == 7
        assert min(r.offset for r in records if r.partition == 1) == 5

    async def test_an_offset_beyond_the_end_is_one_of_another_log(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        await log.append(numbered(topic, 3))
        assert values(await take(await place.join(log, topic, f"{topic}.g", resume=lambda _: 1000), 3)) == [0, 1, 2]

    async def test_what_was_not_committed_is_seen_again(self, place: LogPlace) -> None:
        topic = await place.topic(2)
        log = place.open()
        await log.append(numbered(topic, 20))
        one = await place.join(log, topic, f"{topic}.g")
        await take(one, 20)
        await one.close()
        again = await place.join(place.open(), topic, f"{topic}.g")
        records = await take(again, 20)
        await again.commit(following(records))
        await again.close()
        await log.append(numbered(topic, 5, first=20))
        third = await place.join(log, topic, f"{topic}.g")
        assert values(await take(third, 5)) == [20, 21, 22, 23, 24]

    async def test_a_commit_for_a_partition_that_moved_is_refused(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append(numbered(topic, 40))
        one = await place.join(log, topic, f"{topic}.g", "one")
        records = await take(one, 40)
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(2, one, two)
        (moved,) = two.assigned()
        with pytest.raises(PartitionLostError, match=topic):
            await one.commit({moved: following(records)[moved]})
        await one.close()
        await two.close()
        three = await place.join(log, topic, f"{topic}.g", "three")
        assert values(await take(three, 40)) == list(range(40))

    async def test_a_member_that_died_comes_back_to_its_partitions_at_once(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(4, one, two)
        had = one.assigned()
        await place.crash(one)
        again = await place.join(place.open(), topic, f"{topic}.g", "one")
        await polled(again, until=lambda _: bool(again.assigned()))
        assert again.assigned() == had
        await settle(4, again, two)

    async def test_others_take_over_from_a_member_that_died(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(4, log=log)
        await log.append(numbered(topic, 40))
        one = await place.join(log, topic, f"{topic}.g", "one")
        two = await place.join(place.open(), topic, f"{topic}.g", "two")
        await settle(4, one, two)
        await place.crash(one)
        place.pass_lease()
        await settle(4, two)

    async def test_the_newest_record_of_each_key(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(3, compacted=True, log=log)
        assert await log.read_compacted(topic) == {}
        await log.append(numbered(topic, 100, keys=10))
        await log.append([Outgoing(topic, b"key-3", None), Outgoing(topic, b"key-4", None)])
        await log.append([Outgoing(topic, b"key-4", b"back", (("h", b"1"),))])
        table = await place.open().read_compacted(topic)
        assert {key: record.value for key, record in table.items()} == {
            **{b"key-%d" % n: b"%d" % (90 + n) for n in range(10) if n not in (3, 4)},
            b"key-4": b"back",
        }
        assert table[b"key-4"].headers == (("h", b"1"),)

    async def test_a_topic_that_is_not_compacted_can_be_read_as_a_table_too(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append([*numbered(topic, 30, keys=5), Outgoing(topic, b"key-0", None)])
        table = await log.read_compacted(topic)
        assert {key: record.value for key, record in table.items()} == {
            b"key-%d" % n: b"%d" % (25 + n) for n in (1, 2, 3, 4)
        }

    async def test_without_a_group_everything_is_read_and_then_followed(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(3, log=log)
        await log.append(numbered(topic, 10))
        tail = await place.join(log, topic, None, "tail")
        twin = await place.join(place.open(), topic, None, "tail")
        assert tail.assigned() == {TopicPartition(topic, part) for part in range(3)}
        assert values(await take(tail, 10)) == list(range(10))
        await place.open().append(numbered(topic, 10, first=10))
        assert values(await take(tail, 10)) == list(range(10, 20))
        assert values(await take(twin, 20)) == list(range(20))
        with pytest.raises(ValueError, match="without a group"):
            await tail.commit({TopicPartition(topic, 0): 1})

    async def test_without_a_group_reading_begins_where_the_caller_wants(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        await log.append(numbered(topic, 10))
        tail = await place.join(log, topic, None, resume=lambda _: 6)
        assert values(await take(tail, 4)) == [6, 7, 8, 9]

    async def test_a_waiting_poll_wakes_for_what_another_handle_appends(self, place: LogPlace) -> None:
        topic = await place.topic(1)
        writer = place.open()
        tail = await place.join(place.open(), topic, None)
        await tail.poll(1, 0.2)
        polling = asyncio.create_task(tail.poll(10, DEADLINE_S))
        await asyncio.sleep(0)
        await writer.append(numbered(topic, 1))
        assert values(await polling) == [0]

    async def test_end_offsets_are_those_of_the_next_records(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        member = await place.join(log, topic, f"{topic}.g")
        await settle(2, member)
        assert await member.end_offsets() == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0}
        await log.append(numbered(topic, 30))
        records = await take(member, 30)
        assert await member.end_offsets() == following(records)
        tail = await place.join(log, topic, None)
        assert await tail.end_offsets() == following(records)

    async def test_a_large_backlog_comes_in_pieces(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        for first in range(0, 6000, 2000):
            await log.append(numbered(topic, 2000, first=first))
        member = await place.join(log, topic, f"{topic}.g")
        found: list[Record] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < 6000:
            assert time.monotonic() < deadline
            piece = await member.poll(700, 0.1)
            assert len(piece) <= 700
            found += piece
        assert values(found) == list(range(6000))
        assert_ordered_per_key(found)
        assert await member.poll(10, 0) == []

    async def test_a_record_that_is_too_large_is_refused_with_its_whole_call(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        with pytest.raises(RecordTooLargeError, match=topic):
            await log.append([Outgoing(topic, b"k", b"0"), Outgoing(topic, b"k", bytes((1 << 20) + 1))])
        with pytest.raises(RecordTooLargeError):
            await log.append([Outgoing(topic, b"k", b"", (("h", bytes(1 << 20)),))])
        largest = secrets.token_bytes(MAX_RECORD_BYTES - 129)
        await log.append([Outgoing(topic, b"k", largest)])
        (record,) = await take(await place.join(log, topic, None), 1)
        assert record.value == largest

    async def test_a_topic_that_was_never_created_is_named(self, place: LogPlace) -> None:
        log = place.open()
        missing = f"test.{secrets.token_hex(6)}"
        for call in (
            log.append([Outgoing(missing, b"k", b"v")]),
            log.subscribe([missing], group="g", member="m"),
            log.subscribe([missing], group=None, member="m"),
            log.read_compacted(missing),
        ):
            with pytest.raises(LogUnavailableError, match=f"{missing}.*ensure_topics"):
                await call
        await log.ensure_topics({missing: TopicSettings(1, compacted=False, retention_ms=1000)})
        await log.append([Outgoing(missing, b"k", b"v")])

    async def test_topics_that_exist_are_left_as_they_are(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append(numbered(topic, 5))
        for handle in (log, place.open()):
            await handle.ensure_topics({topic: TopicSettings(9, compacted=True, retention_ms=-1)})
        tail = await place.join(log, topic, None)
        assert values(await take(tail, 5)) == [0, 1, 2, 3, 4]
        assert len(tail.assigned()) == 2

    async def test_many_append_at_once(self, place: LogPlace) -> None:
        log, other = place.open(), place.open()
        topic = await place.topic(3, log=log)
        calls = [(log, other)[n % 2].append(numbered(topic, 10, keys=1000, first=10 * n)) for n in range(40)]
        await asyncio.gather(*calls)
        assert values(await take(await place.join(log, topic, None), 400)) == list(range(400))

    async def test_what_could_not_be_appended_can_be_appended_again(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(2, log=log)
        await log.append(numbered(topic, 10))
        async with place.outage():
            for _ in range(2):
                with pytest.raises(LogUnavailableError):
                    await log.append(numbered(topic, 10, first=10))
        await eventually(log.append, numbered(topic, 10, first=10))
        await eventually(log.append, numbered(topic, 10, first=20))
        tail = await place.join(place.open(), topic, None)
        records = await polled(tail, until=lambda found: set(values(found)) == set(range(30)))
        once = {(record.key, record.value): record for record in reversed(records)}.values()
        assert_ordered_per_key(sorted(once, key=lambda record: (record.partition, record.offset)))
        newest = {record.key: record.value for record in records}
        assert newest == {b"key-%d" % (n % 16): b"%d" % n for n in range(30)}

    async def test_closing_twice_is_fine_and_closed_is_closed(self, place: LogPlace) -> None:
        log = place.open()
        topic = await place.topic(1, log=log)
        member = await place.join(log, topic, f"{topic}.g")
        tail = await place.join(log, topic, None)
        for closeable in (member, member, tail, tail):
            await closeable.close()
        with pytest.raises(LogUnavailableError):
            await member.poll(1, 0)
        for _ in range(2):
            await log.close()
        with pytest.raises(LogUnavailableError):
            await log.append(numbered(topic, 1))
        with pytest.raises(LogUnavailableError):
            await log.read_compacted(topic)


async def _commit_what_is_held(consumer: Consumer, seen: list[Record]) -> None:
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
