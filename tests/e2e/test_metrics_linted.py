"""The /metrics of every process as Prometheus' own linter sees them, and that no device is named in any of them."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from dashboards.api.measures import FLEET_DEVICES, ROLLOUT_EVIDENCE, ROLLOUT_VERDICT
from ingest.contract import names
from tests.process_fleet import SmallFleet, rollout_plan
from tests.process_house import House
from tests.process_kit import nursery, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process_kit import Worker

pytestmark = pytest.mark.servers("prometheus")


async def test_promtool_finds_nothing_and_no_device_is_named(tmp_path: Path, promtool: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        fleet = SmallFleet(house.site, house.broker, house.credentials.centre_keys(), tmp_path / "devices", number=6)
        fleet.start()
        try:
            await until(lambda: reporting(house), "devices report", house.told)
            await house.client.start_rollout(rollout_plan(house.site, mode="observe"))
            await until(lambda: everything_shows(house), "every part has counted something", house.told)
            found = {kind: await exposed(house, worker) for kind, worker in house.workers.items()}
        finally:
            await fleet.stop()
        await house.stop()
    devices = {device.name for device in fleet.devices}
    for kind, text in found.items():
        linted = await asyncio.to_thread(lint, promtool, text)
        assert linted == "", f"{kind}: {linted}"
        values = {value for line in text.splitlines() for value in label_values(line)}
        assert not devices & values, f"{kind} names a device"
        assert "process_resident_memory_bytes" in text, kind


async def test_prometheus_may_ask_for_openmetrics_with_exemplars(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        fleet = SmallFleet(house.site, house.broker, house.credentials.centre_keys(), tmp_path / "devices", number=2)
        fleet.start()
        try:
            await until(lambda: reporting(house, 2), "devices report", house.told)

            async def shown() -> bool:
                text = await exposed(house, house.ingest, "application/openmetrics-text; version=1.0.0")
                samples = [sample for family in openmetrics_families(text) for sample in family.samples]
                return any(sample.exemplar and "trace_id" in sample.exemplar.labels for sample in samples)

            await until(shown, "an observation names its trace", house.told)
        finally:
            await fleet.stop()
        await house.stop()


async def reporting(house: House, number: int = 6) -> bool:
    return len(await house.client.items("/v1/devices")) >= number


async def everything_shows(house: House) -> bool:
    text = "\n".join([await exposed(house, worker) for worker in house.workers.values()])
    specs = (names.EDGE_SAMPLES, names.EDGE_LAG_SECONDS, names.INGEST_ROWS, names.ANALYTICS_ROWS, FLEET_DEVICES)
    return all(f"\n{spec.name}" in text for spec in (*specs, ROLLOUT_VERDICT, ROLLOUT_EVIDENCE))


async def exposed(house: House, worker: Worker, accept: str = "text/plain; version=0.0.4") -> str:
    headers = {"Accept": accept, "Authorization": f"Bearer {house.credentials.token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        answer = await client.get(worker.address + "/metrics", headers=headers)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.text


def lint(promtool: Path, text: str) -> str:
    """What `promtool check metrics` complains about."""
    ended = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return (ended.stdout + ended.stderr).strip()


def label_values(line: str) -> list[str]:
    inner = line[line.find("{") + 1 : line.rfind("}")] if "{" in line and not line.startswith("#") else ""
    return [part.split('"')[1] for part in inner.split(",") if part.count('"') >= 2]
