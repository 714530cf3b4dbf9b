"""The stack's InfluxDB and Alertmanager, over their APIs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

if TYPE_CHECKING:
    from compose.stack.endpoints import AlertmanagerEndpoint, InfluxEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

PATIENCE_S = 60.0

QUERY = 'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == "{measurement}")'


async def write(endpoint: InfluxEndpoint, measurement: str, value: float) -> None:
    async with InfluxDBClientAsync(endpoint.url, endpoint.token, endpoint.org) as client:
        assert await client.write_api().write(endpoint.bucket, record=f"{measurement},device=d1 temperature={value}")


async def values(endpoint: InfluxEndpoint, measurement: str) -> list[float]:
    async with InfluxDBClientAsync(endpoint.url, endpoint.token, endpoint.org) as client:
        tables = await client.query_api().query(QUERY.format(bucket=endpoint.bucket, measurement=measurement))
        return [record["_value"] for table in tables for record in table.records]


async def test_points_are_written_and_queried(influxdb: RunningServer[InfluxEndpoint]) -> None:
    await write(influxdb.endpoint, "stack_written", 21.5)
    assert await values(influxdb.endpoint, "stack_written") == [21.5]


async def test_points_and_token_survive_a_restart_and_a_kill(influxdb: RunningServer[InfluxEndpoint]) -> None:
    await write(influxdb.endpoint, "stack_kept", 1.0)
    await asyncio.to_thread(influxdb.restart)
    assert await values(influxdb.endpoint, "stack_kept") == [1.0]
    await asyncio.to_thread(influxdb.kill)
    await asyncio.to_thread(influxdb.start)
    assert await values(influxdb.endpoint, "stack_kept") == [1.0]


def test_influxdb_refuses_a_wrong_token(influxdb: RunningServer[InfluxEndpoint]) -> None:
    answer = httpx.get(
        f"{influxdb.endpoint.url}/api/v2/buckets", headers={"Authorization": "Token wrong"}, timeout=PATIENCE_S
    )
    assert answer.status_code == 401


def test_an_alert_is_taken_and_shown(alertmanager: RunningServer[AlertmanagerEndpoint]) -> None:
    endpoint = alertmanager.endpoint
    # A name of its own: the server is the session's, other tests' alerts are in it too.
    alert = {"labels": {"alertname": "StackShown", "device": "d1"}, "annotations": {"summary": "nothing for 90 s"}}
    with httpx.Client(base_url=endpoint.url, auth=(endpoint.username, endpoint.password), timeout=PATIENCE_S) as client:
        client.post("/api/v2/alerts", json=[alert]).raise_for_status()
        shown = client.get("/api/v2/alerts", params={"filter": 'alertname="StackShown"'}).json()
    assert [found["labels"]["device"] for found in shown] == ["d1"]


def test_alertmanager_refuses_strangers(alertmanager: RunningServer[AlertmanagerEndpoint]) -> None:
    url = f"{alertmanager.endpoint.url}/api/v2/alerts"
    assert httpx.get(url, timeout=PATIENCE_S).status_code == 401
    assert httpx.get(url, auth=(alertmanager.endpoint.username, "wrong"), timeout=PATIENCE_S).status_code == 401


def test_silences_survive_a_restart(alertmanager: RunningServer[AlertmanagerEndpoint]) -> None:
    endpoint = alertmanager.endpoint
    silence = {
        "matchers": [{"name": "device", "value": "d9", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "night shift",
        "comment": "being moved",
    }
    auth = (endpoint.username, endpoint.password)
    httpx.post(f"{endpoint.url}/api/v2/silences", json=silence, auth=auth, timeout=PATIENCE_S).raise_for_status()
    alertmanager.restart()
    kept = httpx.get(f"{endpoint.url}/api/v2/silences", auth=auth, timeout=PATIENCE_S).json()
    assert [found["comment"] for found in kept] == ["being moved"]
