"""Dead letters are listed, explained and replayed; whoever wrote them has no say in where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ingest.contract.reasons import BatchRejection
from ingest.contract.records import (
    DETAIL_HEADER,
    ORIGIN_OFFSET_HEADER,
    ORIGIN_TOPIC_HEADER,
    REASON_HEADER,
    Outgoing,
    Record,
    dead_letter,
)
from ingest.contract.topics import COMMANDS, DEVICES, ROLLUPS, dead, every_topic
from ingest.door.dead import _MEANINGS, dead_letters, explain, read_letter, replay
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.door_house import DoorHouse
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    yield log
    await log.close()


def died(value: bytes, offset: int, reason: str = "malformed", headers: tuple[tuple[str, bytes], ...] = ()) -> Outgoing:
    record = Record(ROLLUPS, 2, offset, b"plant-7", value, headers, 0)
    return dead_letter(record, reason, f"detail {offset}", dead(ROLLUPS))


async def read_topic(log: SqliteLog, topic: str) -> list[Record]:
    consumer = await log.subscribe((topic,), group=None, member="reader")
    return await consumer.poll(100, 0.05)


async def test_letters_are_listed_oldest_first_each_record_once(log: SqliteLog) -> None:
    await log.append([died(b"a", 7), died(b"b", 9, "bad_value"), died(b"a", 7)])
    letters = await dead_letters(log, ROLLUPS)
    assert [(x.topic, x.partition, x.origin_offset, x.reason, x.detail, x.value) for x in letters] == [
        (ROLLUPS, 2, 7, "malformed", "detail 7", b"a"),
        (ROLLUPS, 2, 9, "bad_value", "detail 9", b"b"),
    ]
    assert [letter.offset for letter in letters] == [0, 1]
    assert await dead_letters(log, DEVICES) == []


async def test_of_too_many_letters_the_newest_are_kept(log: SqliteLog) -> None:
    await log.append([died(b"x" * 1000, offset) for offset in range(20)])
    letters = await dead_letters(log, ROLLUPS, most_bytes=5_000)
    assert [letter.origin_offset for letter in letters] == [15, 16, 17, 18, 19]


async def test_a_replay_appends_the_record_as_it_was(log: SqliteLog) -> None:
    headers = (("traceparent", b"00-1-2-01"), ("mine", b"yes"))
    await log.append([died(b"a", 7, headers=headers), died(b"", 8)])
    assert await replay(log, await dead_letters(log, ROLLUPS)) == 1
    (record,) = await read_topic(log, ROLLUPS)
    assert (record.key, record.value, record.headers) == (b"plant-7", b"a", headers)
    assert await replay(log, []) == 0


async def test_a_record_that_claims_to_be_a_letter_of_another_topic_goes_back_where_it_came_from(
    log: SqliteLog,
) -> None:
    forged = (
        (ORIGIN_TOPIC_HEADER, COMMANDS.encode()),
        (ORIGIN_OFFSET_HEADER, b"0:0"),
        (REASON_HEADER, b"store_refused"),
        (DETAIL_HEADER, b"replay me"),
    )
    await log.append([died(b"command", 7, headers=forged)])
    (letter,) = await dead_letters(log, ROLLUPS)
    assert (letter.topic, letter.reason, letter.detail, letter.origin_offset) == (ROLLUPS, "malformed", "detail 7", 7)
    await replay(log, [letter])
    assert await read_topic(log, COMMANDS) == []
    (record,) = await read_topic(log, ROLLUPS)
    assert record.headers == ()


@pytest.mark.parametrize("headers", [(), ((REASON_HEADER, b"\xff"), (ORIGIN_OFFSET_HEADER, b"x:y"))])
def test_letters_of_unknown_make_are_shown_too(headers: tuple[tuple[str, bytes], ...]) -> None:
    letter = read_letter(Record(dead(DEVICES), 0, 5, b"\xff", b"v", headers, 9), DEVICES)
    assert (letter.topic, letter.partition, letter.origin_offset, letter.offset, letter.at) == (DEVICES, -1, -1, 5, 9)
    assert explain(letter)


async def test_letters_without_an_origin_are_not_taken_for_one(log: SqliteLog) -> None:
    await log.append([Outgoing(dead(ROLLUPS), b"k", value) for value in (b"a", b"b")])
    assert [letter.value for letter in await dead_letters(log, ROLLUPS)] == [b"a", b"b"]


def test_every_reason_is_explained() -> None:
    assert set(_MEANINGS) == set(BatchRejection)


async def test_an_explanation_says_what_it_is_and_what_to_do(tmp_path: Path) -> None:
    stranger, known = SignedGateway(), SignedGateway()
    async with DoorHouse(tmp_path, known) as house:
        await house.send(stranger.record(), known.sign_value(b"\x00"))
        house.start()
        unknown, malformed = await house.letters(2)
        text = "\n".join(explain(unknown))
        assert "unknown_gateway" in text
        assert "[[gateways]]" in text
        assert "batch 1 of gateway gw-1 (boot boot-1) at acme/plant-7: 1 rows of 1 devices, net 3 samples" in text
        assert "no batch" in "\n".join(explain(malformed))
        assert "cannot be replayed" in "\n".join(explain(replace(malformed, value=b"")))


async def test_a_letter_is_replayed_once_its_cause_is_mended(tmp_path: Path) -> None:
    gateway = SignedGateway()
    async with DoorHouse(tmp_path) as house:
        await house.send(gateway.record())
        house.start()
        letters = await house.letters(1)
    async with DoorHouse(tmp_path, gateway) as house:
        assert await replay(house.log, letters) == 1
        house.start()
        account = await house.until_batches(1)
        assert account.stored == 3
