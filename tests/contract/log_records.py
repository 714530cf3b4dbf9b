"""What every Log does with records: appending, reading on, tables, limits, outages."""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from ingest.contract.records import Outgoing, Record, TopicPartition
from ingest.contract.topics import TopicSettings
from ingest.runtime.log.limits import MAX_RECORD_BYTES
from ingest.runtime.log.port import LogUnavailableError, RecordTooLargeError
from tests.contract.log_place import (
    DEADLINE_S,
    LogPlace,
    assert_ordered_per_key,
    eventually,
    numbered,
    polled,
    take,
    values,
)


class RecordBehaviour:
    """Records, topics, and what happens when they cannot be had."""

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
            with pytest.raises(LogUnavailableError, match=f"{missing}.*tidegate ingest run"):
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
