"""Cohorts over sites as a process on the embedded log, killed again and again: it says what it would have said anyway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analytics.cohorts.stage import CohortsStage
from ingest.contract.records import Outgoing, Record, event_record
from ingest.contract.topics import ANOMALIES, COHORTS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.telemetry import Telemetry
from tests.central_process import DETECT_CONFIG, kill, start
from tests.cohort_world import LEARNS, TENANT, Fleet

if TYPE_CHECKING:
    from ingest.contract.events import CohortEvent

DEADLINE_S = 120.0
KILLS = 4


def _records() -> list[Outgoing]:
    """Five shifts of all sites, with calm between them."""
    fleet, found = Fleet(), []
    for slot in range(LEARNS + 100):
        fleet.shift(1.0 if slot >= LEARNS and slot % 20 < 10 else 0.0)
        found += [_record(site.says(slot)) for site in fleet.sites]
    return found


def _record(event: CohortEvent) -> Outgoing:
    return event_record(COHORTS, TENANT, event, event_id=f"{event.site}/{event.seq}", source="test", time=event.at)


async def _all(log: SqliteLog, topic: str) -> list[Record]:
    consumer = await log.subscribe([topic], group=None, member="reader")
    found: list[Record] = []
    ends = sum((await consumer.end_offsets()).values())
    while len(found) < ends:
        found += await consumer.poll(1000, 0.1)
    await consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def test_killed_at_any_moment_it_says_the_same(tmp_path: Path) -> None:
    records = _records()
    log = SqliteLog(tmp_path / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    (tmp_path / "gateways.json").write_bytes(b"[]")
    process = start("cohorts", tmp_path)
    try:
        for part in np.array_split(np.arange(len(records)), KILLS + 1):
            for some in np.array_split(part, 8):
                await log.append([records[at] for at in some])
                await asyncio.sleep(0.03)
            kill(process)
            process = start("cohorts", tmp_path)
        stage = CohortsStage(DETECT_CONFIG, Telemetry("expected"))
        expected = [event.value for event in stage.step(await _all(log, COHORTS), 0).outgoing]
        async with asyncio.timeout(DEADLINE_S):
            # At least once: what was appended again just before a crash is dropped, as consumers do by its id.
            while (said := list(dict.fromkeys([one.value for one in await _all(log, ANOMALIES)]))) != expected:
                assert said == expected[: len(said)]
                await asyncio.sleep(0.1)
        assert len(expected) >= 20
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        kill(process)
        await log.close()
