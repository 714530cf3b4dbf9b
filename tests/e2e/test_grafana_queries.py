"""Every query of every dashboard against a running system: real InfluxDB, real Prometheus, our API."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from compose.stack.endpoints import (
    AlertmanagerEndpoint,
    Endpoints,
    InfluxEndpoint,
    KafkaEndpoint,
    MqttEndpoint,
    PrometheusEndpoint,
)
from compose.stack.prometheus import API_TARGETS, API_TOKEN, TARGETS
from dashboards.grafana.every import every_dashboard
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.records import event_record
from ingest.contract.topics import ANOMALIES
from tests.grafana_reader import Asked, Reader, expected_unit, queries
from tests.process_fleet import OLD, SmallFleet, rollout_plan
from tests.process_house import House
from tests.process_kit import until
from tests.servers import RunningServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

TENANT, SITE, NUMBER, ROLLOUT = "grafana", "grafana-1", 10, "firmware-2.3.0"
SETTLED_S = 12
"""So that every rate has several scrapes behind it."""


@pytest.fixture
def servers(
    kafka: RunningServer[KafkaEndpoint],
    mosquitto: RunningServer[MqttEndpoint],
    influxdb: RunningServer[InfluxEndpoint],
    alertmanager: RunningServer[AlertmanagerEndpoint],
) -> Endpoints:
    return Endpoints(kafka.endpoint, mosquitto.endpoint, influxdb.endpoint, alertmanager.endpoint)


async def test_every_panel_variable_and_annotation_is_answered(
    tmp_path: Path, servers: Endpoints, prometheus: RunningServer[PrometheusEndpoint]
) -> None:
    async with House(tmp_path, tenant=TENANT, site=SITE, servers=servers) as house:
        await house.start()
        scraped(house, prometheus.folder)
        fleet = SmallFleet(
            SITE, house.broker, house.credentials.centre_keys(), tmp_path / "devices", tenant=TENANT, number=NUMBER
        )
        fleet.start()
        try:
            await until(lambda: reporting(house), "devices report", house.told)
            await house.client.start_rollout(rollout_plan(SITE))
            await until(lambda: rolled_back(house), "the release is rolled back", fleet.told)
            await an_anomaly(house)
            await until(lambda: alerting(house), "an alert fires, and an incident goes on", house.told)
            await asyncio.sleep(SETTLED_S)
            reader = Reader(
                servers.influxdb,
                prometheus.endpoint,
                house.api.address,
                house.credentials.token,
                house.clock.now_ms() / 1000,
            )
            with closing(reader):
                problems, answered = await asyncio.to_thread(ask_everything, reader)
        finally:
            scraped_no_more(prometheus.folder)
            await fleet.stop()
        assert not problems, "\n".join(problems)
        sys.stdout.write(f"{answered} queries were answered\n")
        await house.stop()


def scraped(house: House, folder: Path) -> None:
    workers = {TARGETS: (house.edge, house.ingest, house.analytics), API_TARGETS: (house.api,)}
    (folder / API_TOKEN).write_text(house.credentials.token)
    for name, those in workers.items():
        addresses = [worker.address.removeprefix("http://") for worker in those]
        (folder / name / "house.json").write_text(json.dumps([{"targets": addresses}]))


def scraped_no_more(folder: Path) -> None:
    for name in (TARGETS, API_TARGETS):
        (folder / name / "house.json").unlink()


async def reporting(house: House) -> bool:
    return len(await house.client.items("/v1/devices")) >= NUMBER


async def rolled_back(house: House) -> bool:
    found = await house.client.find(f"/v1/rollouts/{ROLLOUT}")
    return found.get("verdict", {}).get("verdict") == "fail" and bool(found.get("rollback", {}).get("commanded"))


async def an_anomaly(house: House) -> None:
    """What a detector would say; the detectors have tests of their own."""
    now = house.clock.now_ms()
    event = AnomalyEvent(
        tenant=TENANT,
        site=SITE,
        device="d00",
        metric="heap_used",
        labels=(),
        status=AnomalyStatus.ENTERED,
        detector="level",
        at=now,
        since=now,
        value=91.5,
        expected=40.0,
        scale=2.0,
        score=0.99,
        tail_probability=1e-6,
        reason="above what is usual",
        firmware=OLD.version,
        hardware="rev-a",
        group="pumps",
    )
    log = house.log()
    await log.append([event_record(ANOMALIES, f"{SITE}/d00", event, event_id="one", source="test", time=now)])
    await log.close()


async def alerting(house: House) -> bool:
    firing = any(alert["state"] == "firing" for alert in await house.client.items("/v1/alerts"))
    return (
        firing and bool(await house.client.items("/v1/anomalies")) and bool(await house.client.items("/v1/incidents"))
    )


def ask_everything(reader: Reader) -> tuple[list[str], int]:
    """What is wrong, a line each, and how many queries were asked."""
    problems, number = [], 0
    for model in every_dashboard():
        values = reader.variables(model, {"site": SITE, "device": "d00", "rollout": ROLLOUT})
        for asked in queries(model):
            number += 1
            if problem := wrong_with(asked, reader.rows(asked, values)):
                problems.append(f"{asked.place}: {problem}\n    {asked.query.get('expr') or asked.query.get('query')}")
    return problems, number


def wrong_with(asked: Asked, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "nothing comes back"
    if asked.query["datasource"]["type"] not in {"influxdb", "prometheus"}:
        empty = [name for name in rows[0] if all(row[name] in (None, "") for row in rows)]
        # What some devices, alerts and rollouts lack, and incidents of one device.
        lacking = {"Group", "What the affected share"}
        return f"columns {empty} are empty" if set(empty) - lacking else ""
    if asked.unit and asked.unit not in expected_unit(asked.query):
        return f"shown in {asked.unit}, expected {expected_unit(asked.query)}"
    values = [float(row["value"]) for row in rows]
    if asked.place in EXACTLY and values != [EXACTLY[asked.place]]:
        return f"{values}, expected {EXACTLY[asked.place]}"
    low, high = PLAUSIBLE.get(asked.unit, (-math.inf, math.inf))
    wild = [value for value in values if not low <= value <= high]
    return f"{wild[:3]} is no value in {asked.unit}" if wild else ""


EXACTLY = {
    "tidegate-site / Devices with data / A": NUMBER,
    "tidegate-rollout / Verdict / A": 2.0,  # fail
    "tidegate-fleet / Sites in the dark / A": 0.0,
    "tidegate-pipeline / Broken accounts / A": 0.0,
}
PLAUSIBLE = {
    "s": (0, 120),
    "ms": (100, 3_600_000),
    "bytes": (0, 1e9),
    "Bps": (0, 1e8),
    "cps": (0, 10_000),
    "cpm": (0, 10_000),
    "reqps": (0, 10_000),
    "percentunit": (0, 100),
    "none": (1, 3),
    "": (1, 100),
}
"""For ten devices in five minutes; a value in milliseconds or kilobytes would lie outside."""
