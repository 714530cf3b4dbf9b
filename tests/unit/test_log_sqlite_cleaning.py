"""The embedded log stays small: what expired goes, and what was superseded a day ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.contract.records import Outgoing
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import ManualClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.log.sqlite import log as log_module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TIMED, COMPACTED = "test.timed", "test.compacted"
HOUR_S, DAY_S = 3600, 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def log(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", clock)
    await log.ensure_topics(
        {
            TIMED: TopicSettings(2, compacted=False, retention_ms=HOUR_S * 1000),
            COMPACTED: TopicSettings(2, compacted=True, retention_ms=-1),
        }
    )
    yield log
    await log.close()


async def remaining(log: SqliteLog, topic: str) -> list[bytes | None]:
    tail = await log.subscribe([topic], group=None, member="tail")
    return [record.value for record in await tail.poll(100_000, 0)]


async def nudge(log: SqliteLog, clock: ManualClock) -> None:
    """An append somewhere is what sets the cleaning off, at most once a minute."""
    clock.advance(61)
    await log.append([Outgoing(COMPACTED, b"nudge", b"")])


async def test_records_expire(log: SqliteLog, clock: ManualClock) -> None:
    await log.append([Outgoing(TIMED, b"%d" % n, b"old") for n in range(20)])
    clock.advance(HOUR_S / 2)
    await log.append([Outgoing(TIMED, b"%d" % n, b"young") for n in range(20)])
    await nudge(log, clock)
    assert (await remaining(log, TIMED)).count(b"old") == 20
    clock.advance(HOUR_S / 2)
    await nudge(log, clock)
    assert await remaining(log, TIMED) == [b"young"] * 20


async def test_offsets_go_on_after_everything_expired(log: SqliteLog, clock: ManualClock) -> None:
    await log.append([Outgoing(TIMED, b"k", b"old")] * 3)
    clock.advance(2 * HOUR_S)
    await nudge(log, clock)
    await log.append([Outgoing(TIMED, b"k", b"new")])
    member = await log.subscribe([TIMED], group="g", member="m")
    (record,) = await member.poll(10, 0)
    assert (record.offset, record.value) == (3, b"new")


async def test_superseded_records_can_be_read_for_a_day(log: SqliteLog, clock: ManualClock) -> None:
    for n in range(5):
        await log.append([Outgoing(COMPACTED, b"k", b"%d" % n), Outgoing(COMPACTED, b"other", b"x")])
    clock.advance(DAY_S - 200)
    await nudge(log, clock)
    everything = [b"0", b"1", b"2", b"3", b"4", *[b"x"] * 5]
    assert sorted(value for value in await remaining(log, COMPACTED) if value) == everything
    clock.advance(200)
    await nudge(log, clock)
    assert sorted(v for v in await remaining(log, COMPACTED) if v) == [b"4", b"x"]
    assert {key: r.value for key, r in (await log.read_compacted(COMPACTED)).items()} == {
        b"k": b"4",
        b"other": b"x",
        b"nudge": b"",
    }


async def test_tombstones_go_with_what_they_buried(log: SqliteLog, clock: ManualClock) -> None:
    await log.append([Outgoing(COMPACTED, b"k", b"v"), Outgoing(COMPACTED, b"k", None)])
    assert await remaining(log, COMPACTED) == [b"v", None]
    clock.advance(DAY_S)
    await nudge(log, clock)
    await nudge(log, clock)
    assert set(await remaining(log, COMPACTED)) == {b""}
    await log.append([Outgoing(COMPACTED, b"k", b"again")])
    assert (await log.read_compacted(COMPACTED))[b"k"].value == b"again"


async def test_a_record_that_is_superseded_when_old_goes_at_once(log: SqliteLog, clock: ManualClock) -> None:
    await log.append([Outgoing(COMPACTED, b"k", b"first")])
    clock.advance(2 * DAY_S)
    await log.append([Outgoing(COMPACTED, b"k", b"second")])
    assert (await log.read_compacted(COMPACTED))[b"k"].value == b"second"
    await nudge(log, clock)
    assert b"first" not in await remaining(log, COMPACTED)


async def test_more_than_one_round_is_cleaned_round_by_round(log: SqliteLog, clock: ManualClock) -> None:
    await log.append([Outgoing(TIMED, b"k", b"old")] * 1800)
    clock.advance(2 * HOUR_S)
    await nudge(log, clock)
    assert 0 < len(await remaining(log, TIMED)) < 1800
    for _ in range(4):
        await log.append([Outgoing(COMPACTED, b"nudge", b"")])
    assert await remaining(log, TIMED) == []


async def test_space_is_used_again(log: SqliteLog, clock: ManualClock, tmp_path: Path) -> None:
    sizes = []
    for _ in range(6):
        for _ in range(4):
            await log.append([Outgoing(TIMED, b"k", bytes(100_000))] * 10)
        sizes.append((tmp_path / "log.db").stat().st_size)
        clock.advance(2 * HOUR_S)
        await nudge(log, clock)
    assert max(sizes) < 2 * 4 * 10 * 100_000


async def test_an_append_succeeds_though_cleaning_fails(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(log_module, "clean", fail)
    clock.advance(DAY_S)
    await log.append([Outgoing(TIMED, b"k", b"v")])
    assert await remaining(log, TIMED) == [b"v"]
