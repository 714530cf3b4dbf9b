"""Incidents as a process on the embedded log, killed again and again: what it says follows from the summaries alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analytics.incidents.stage import IncidentsStage
from ingest.contract.events import AnomalyStatus, IncidentEvent
from ingest.contract.records import read_event
from ingest.contract.topics import INCIDENTS, SUMMARIES, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.telemetry import Telemetry
from tests.alert_world import Fleet, anomaly
from tests.central_process import INCIDENTS_CONFIG, kill, start

if TYPE_CHECKING:
    from ingest.contract.records import Record

DEADLINE_S = 120.0
KILLS = 3


async def test_killed_at_any_moment_its_incidents_are_those_of_the_summaries(tmp_path: Path) -> None:
    fleet, clock = Fleet(("north", "south"), per_site=6), SystemClock()
    log = SqliteLog(tmp_path / "log.db", clock)
    await log.ensure_topics(every_topic())
    (tmp_path / "gateways.json").write_bytes(msgspec.json.encode(list(fleet.gateways)))
    await log.append(fleet.everyone(clock.now_ms()))
    ill = [(site, name) for site, names in fleet.names.items() for name in names[:4]]
    process = start("incidents", tmp_path)
    try:
        for number in range(KILLS + 1):
            status = AnomalyStatus.ENTERED if number % 2 == 0 else AnomalyStatus.LEFT
            for site, name in ill:
                await log.append([anomaly(name, clock.now_ms(), status, site=site)])
                await asyncio.sleep(0.02)
            kill(process)
            process = start("incidents", tmp_path)
        async with asyncio.timeout(DEADLINE_S):
            while "resolved" not in {event.reason for event in _last(await _all(log, INCIDENTS))}:  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.1)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
        said = _by_id(await _all(log, INCIDENTS))
        stage = IncidentsStage(INCIDENTS_CONFIG, Telemetry("expected"))
        expected = stage.step(await _all(log, SUMMARIES), 0).outgoing
        told = {dict(record.headers)["ce_id"]: record.value for record in expected if record.value is not None}
        assert said.items() <= told.items()
        assert len(said) >= 2
    finally:
        kill(process)
        await log.close()


async def _all(log: SqliteLog, topic: str) -> list[Record]:
    consumer = await log.subscribe([topic], group=None, member="reader")
    found: list[Record] = []
    ends = sum((await consumer.end_offsets()).values())
    while len(found) < ends:
        found += await consumer.poll(1000, 0.1)
    await consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _last(records: list[Record]) -> list[IncidentEvent]:
    last = {event.incident: event for record in records if (event := read_event(record, IncidentEvent))}
    return list(last.values())


def _by_id(records: list[Record]) -> dict[bytes, bytes | None]:
    return {dict(record.headers)["ce_id"]: record.value for record in records}
