"""What the embedded log says and does when its file cannot be used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import apsw
import pytest

from ingest.contract.records import Outgoing
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import ManualClock, SystemClock
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.log.sqlite.records import MAX_POLL_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOPIC = "test.trouble"
TOPICS = {TOPIC: TopicSettings(2, compacted=False, retention_ms=-1)}


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", SystemClock(), patience_s=0.3)
    await log.ensure_topics(TOPICS)
    yield log
    await log.close()


async def contents(log: SqliteLog) -> list[bytes | None]:
    tail = await log.subscribe([TOPIC], group=None, member="tail")
    found: list[bytes | None] = []
    while piece := await tail.poll(1000, 0):
        found += [record.value for record in piece]
    return found


async def test_a_full_disk_is_told_and_what_was_appended_stays(log: SqliteLog) -> None:
    await log.append([Outgoing(TOPIC, b"k", b"before")])
    pages = await log._thread.run(lambda db: db.pragma("page_count"), durable=True)
    await log._thread.run(lambda db: db.pragma("max_page_count", pages + 2), durable=True)
    with pytest.raises(LogUnavailableError, match="disk is full: free some space"):
        await log.append([Outgoing(TOPIC, b"k", bytes(10_000))] * 10)
    assert await contents(log) == [b"before"]
    await log._thread.run(lambda db: db.pragma("max_page_count", 1 << 30), durable=True)
    await log.append([Outgoing(TOPIC, b"k", b"after")])
    assert await contents(log) == [b"before", b"after"]


async def test_the_event_loop_runs_on_while_the_file_is_locked(log: SqliteLog, tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "log.db"))
    other.execute("BEGIN EXCLUSIVE")
    appending = asyncio.create_task(log.append([Outgoing(TOPIC, b"k", b"v")]))
    turns = 0
    while not appending.done():
        await asyncio.sleep(0.005)
        turns += 1
    with pytest.raises(LogUnavailableError, match="another process holds it"):
        await appending
    assert turns > 10
    other.execute("ROLLBACK")
    other.close()


async def test_calls_that_share_a_transaction_share_its_failure_but_not_each_others(
    log: SqliteLog, tmp_path: Path
) -> None:
    other = apsw.Connection(str(tmp_path / "log.db"))
    other.execute("BEGIN EXCLUSIVE")
    calls = [log.append([Outgoing(TOPIC, b"k", b"%d" % n)]) for n in range(3)]
    calls.insert(1, log.append([Outgoing("test.unknown", b"k", b"v")]))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, LogUnavailableError) for outcome in outcomes)
    assert "test.unknown" in str(outcomes[1])
    other.execute("ROLLBACK")
    other.close()
    mixed = [log.append([Outgoing(name, b"k", b"v")]) for name in (TOPIC, "test.unknown", TOPIC)]
    outcomes = await asyncio.gather(*mixed, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LogUnavailableError, type(None)]
    assert len(await contents(log)) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"not a database at all" * 100, "not a log of tidegate"), (b"SQLite format 3\x00" + bytes(5000), "log.db")],
)
async def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(content)
    log = SqliteLog(path, SystemClock())
    with pytest.raises(LogUnavailableError, match=told):
        await log.ensure_topics(TOPICS)
    await log.close()
    assert path.read_bytes() == content


async def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    db = apsw.Connection(str(path))
    db.pragma("user_version", 99)
    db.close()
    log = SqliteLog(path, SystemClock())
    with pytest.raises(LogUnavailableError, match=r"newer release.*update"):
        await log.append([Outgoing(TOPIC, b"k", b"v")])
    await log.close()


async def test_a_folder_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    blocker = tmp_path / "folder"
    blocker.write_text("in the way")
    log = SqliteLog(blocker / "log.db", SystemClock())
    with pytest.raises(LogUnavailableError, match="folder"):
        await log.ensure_topics(TOPICS)
    blocker.unlink()
    await log.ensure_topics(TOPICS)
    await log.close()


async def test_a_poll_is_bounded_in_bytes(log: SqliteLog) -> None:
    for _ in range(25):
        await log.append([Outgoing(TOPIC, b"k", bytes(900_000))])
    tail = await log.subscribe([TOPIC], group=None, member="tail")
    first = await tail.poll(1000, 0)
    assert MAX_POLL_BYTES <= sum(len(record.value or b"") for record in first) <= MAX_POLL_BYTES + 900_000
    second = await tail.poll(1000, 0)
    assert [r.offset for r in first + second] == list(range(25))


async def test_a_busy_partition_does_not_starve_the_others(log: SqliteLog) -> None:
    await log.append([Outgoing(TOPIC, b"%d" % n, b"") for n in range(2000)])
    tail = await log.subscribe([TOPIC], group=None, member="tail")
    turns = [{record.partition for record in await tail.poll(100, 0)} for _ in range(4)]
    assert turns[0] != turns[1]
    assert turns[:2] == turns[2:]


async def test_a_later_life_of_a_member_silences_the_earlier_one(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteLog(tmp_path / "log.db", clock)
    await log.ensure_topics(TOPICS)
    await log.append([Outgoing(TOPIC, b"k", b"v")])
    earlier = await log.subscribe([TOPIC], group="g", member="same")
    (record,) = await earlier.poll(10, 0)
    later = await log.subscribe([TOPIC], group="g", member="same")
    assert len(await later.poll(10, 0)) == 1
    with pytest.raises(PartitionLostError):
        await earlier.commit({record.topic_partition: 1})
    with pytest.raises(LogUnavailableError, match="give each its own name"):
        await earlier.poll(10, 0)
    await earlier.close()
    await later.poll(10, 0)
    assert len(later.assigned()) == 2
    await log.close()


async def test_a_member_whose_lease_ran_out_unnoticed_goes_on(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteLog(tmp_path / "log.db", clock, lease_s=30)
    await log.ensure_topics(TOPICS)
    await log.append([Outgoing(TOPIC, b"k", b"0")])
    member = await log.subscribe([TOPIC], group="g", member="slow")
    (record,) = await member.poll(10, 0)
    clock.advance(300)
    await member.commit({record.topic_partition: 1})
    await log.append([Outgoing(TOPIC, b"k", b"1")])
    assert [r.value for r in await member.poll(10, 0)] == [b"1"]
    await log.close()


async def test_a_member_that_lost_and_regained_a_partition_begins_where_the_other_stopped(tmp_path: Path) -> None:
    clock = ManualClock()
    log = SqliteLog(tmp_path / "log.db", clock, lease_s=30)
    await log.ensure_topics(TOPICS)
    await log.append([Outgoing(TOPIC, b"k", b"%d" % n) for n in range(10)])
    slow = await log.subscribe([TOPIC], group="g", member="slow")
    early = await slow.poll(5, 0)
    clock.advance(31)
    other = await log.subscribe([TOPIC], group="g", member="other")
    records = await other.poll(8, 0)
    assert len(records) == 8
    with pytest.raises(PartitionLostError):
        await slow.commit({early[0].topic_partition: 5})
    await other.commit({records[0].topic_partition: 8})
    await other.close()
    assert [r.offset for r in await slow.poll(10, 0)] == [8, 9]
    await log.close()
