"""From signed rollups of five sites to an incident that names hardware, firmware and metric, through the processes that serve."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.detect.by_cohort import LEAST_SEEN
from analytics.detectors.cohort_shift import SLOT_WINDOWS
from ingest.contract.events import AnomalyEvent, AnomalyStatus, IncidentEvent
from ingest.contract.records import Outgoing, Record, event_record, read_event
from ingest.contract.topics import ANOMALIES, COHORTS, INCIDENTS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests import cohort_world
from tests.central_process import kill, start
from tests.cohort_world import HARDWARE, LEARNS, METRIC, WIDTH, moment
from tests.detect_fleet import Fleet
from tests.rollup_batches import ORIGIN, T0
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 180.0
DEVICES = 8
AT_ONCE = 100
PARTS = ("detect", "cohorts", "incidents")


def _before() -> list[Outgoing]:
    """What the sites said of two days and more."""
    fleet = cohort_world.Fleet(devices=DEVICES)
    said = [site.says(slot) for slot in range(LEARNS) for site in fleet.sites]
    return [event_record(COHORTS, one.tenant, one, event_id=str(one.seq), source="test", time=one.at) for one in said]


def _rollups(gateways: list[SignedGateway]) -> Iterator[Outgoing]:
    """Windows of all sites, one scale higher from the end of those days on."""
    chance, fleet = np.random.default_rng(3), Fleet(DEVICES, (METRIC,), width=WIDTH, hardware=(HARDWARE,))
    shifted = (moment(LEARNS) - T0) // WIDTH
    for window in range(shifted - LEAST_SEEN, shifted + 10 * SLOT_WINDOWS):
        values = 40 + 0.3 * chance.normal(size=(len(gateways), DEVICES, 1)) + 0.3 * (window >= shifted)
        for gateway, of_site in zip(gateways, values, strict=True):
            yield gateway.sign(fleet.batch(of_site, window, origin=gateway.origin))


async def test_a_firmware_that_is_one_scale_hotter_at_all_sites_is_an_incident(tmp_path: Path) -> None:
    gateways = [SignedGateway(ORIGIN._replace(site=f"site-{n}", gateway=f"gw-site-{n}")) for n in range(5)]
    log = SqliteLog(tmp_path / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    (tmp_path / "gateways.json").write_bytes(msgspec.json.encode([one.config for one in gateways]))
    await log.append(_before())
    rollups = list(_rollups(gateways))
    for first in range(0, len(rollups), AT_ONCE):
        await log.append(rollups[first : first + AT_ONCE])
    processes = [start(part, tmp_path) for part in PARTS]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (incidents := await _all(log, INCIDENTS)):
                assert all(process.poll() is None for process in processes)
                await asyncio.sleep(0.2)
        told = [read_event(record, AnomalyEvent) for record in await _all(log, ANOMALIES)]
        assert {one.detector for one in told if one is not None} == {"cohort_shift"}  # no series alone
        first = told[0]
        assert first is not None
        assert (first.status, first.hardware, first.firmware) == (AnomalyStatus.ENTERED, HARDWARE, "2.2.0")
        assert (first.sites, first.devices) == (5, 40)
        incident = read_event(incidents[0], IncidentEvent)
        assert incident is not None
        assert incident.summary.startswith(f"{METRIC} high on hardware {HARDWARE} with firmware 2.2.0 as a whole")
        assert (incident.root_cause, incident.sites, incident.devices) == (METRIC, 5, 40)
    finally:
        for process in processes:
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
