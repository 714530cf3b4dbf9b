"""What topics and store say is answered, to one's own tenant alone, and again after a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dashboards.api.app import HANDLED
from ingest.contract.batch import Origin
from ingest.contract.records import Outgoing
from ingest.contract.topics import DEVICES
from ingest.runtime.store.port import StoreUnavailableError
from tests.api_centre import Centre, running, until
from tests.api_filled import NORTH, SOUTH, fill
from tests.api_records import NOW, Gateway
from tests.rollup_batches import T0, Row, all_rows, make_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


async def test_what_the_topics_say_is_answered(centre: Centre) -> None:
    await fill(centre)
    async with centre.client() as client:

        async def get(path: str) -> Any:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.json()["data"]

        gate = await get("/v1/gates/fw-2.3.0")
        assert (gate["verdict"], gate["e_value"], gate["log10_e"]) == ("fail", 50.1, 1.7)
        assert gate["evidence_url"] == f"{centre.api.address}/#rollout=fw-2.3.0"
        assert [item["rollout"] for item in await get("/v1/rollouts")] == ["fw-2.3.0"]
        rollout = await get("/v1/rollouts/fw-2.3.0")
        assert rollout["path"] == [{"at": NOW, "log10_e": 1.7}]
        assert rollout["rollback"]["counts"]["commanded"] == 3
        assert rollout["rollback"]["unreachable"] == ["north/c"]
        assert [d["device"] for d in await get("/v1/devices?state=silent&firmware=2.3.0")] == ["pump-2"]
        assert (await get("/v1/devices/north/pump-1"))["firmware"] == "2.2.0"
        assert (await get("/v1/fleet"))["states"] == {"online": 1, "silent": 1}
        (site,) = await get("/v1/sites")
        assert (site["site"], site["state"], site["devices"]) == ("north", "live", 2)
        assert [a["fingerprint"] for a in await get("/v1/alerts")] == ["f1", "f3"]
        assert [a["fingerprint"] for a in await get("/v1/alerts?state=firing")] == ["f1"]
        assert [a["device"] for a in await get("/v1/anomalies?site=north")] == ["pump-1"]
        assert [i["incident"] for i in await get("/v1/incidents?state=growing&site=north&device=pump-2")] == ["inc-1"]
        assert await get("/v1/incidents?state=resolved") == await get("/v1/incidents?device=pump-9") == []
        incident = await get("/v1/incidents/inc-1")
        assert [one["device"] for one in incident["affected"]] == ["pump-1", "pump-2"]
        assert incident["cause"][0]["attributes"] == {"hardware": "rev-b"}
        assert (await get("/v1/ledger"))["totals"]["balanced"] is True


async def test_a_tenant_sees_nothing_of_another(centre: Centre) -> None:
    await fill(centre)
    paths = [path for handler in HANDLED for path in handler.paths if "GET" in handler.http_methods and "{" not in path]
    paths += [
        "/v1/gates/theirs",
        "/v1/rollouts/theirs",
        "/v1/incidents/inc-theirs",
        "/v1/devices/south/secret-device",
        "/v1/series?device=secret-device",
        "/v1/silences/s-theirs",
        "/v1/maintenance/w-theirs",
        "/v1/alerts/f2",
    ]
    async with centre.client() as client:
        for path in (p for p in paths if p.startswith("/v1") and p != "/v1/events"):
            answer = await client.get(path)
            for theirs in ("secret-device", "gw-south", '"f2"', '"other"', "other-all", "s-theirs", "w-theirs"):
                if theirs not in path:
                    assert theirs not in answer.text.replace(f'"{path}"', ""), path
        for path in (
            "/v1/gates/theirs",
            "/v1/rollouts/theirs",
            "/v1/devices/south/secret-device",
            "/v1/silences/s-theirs",
            "/v1/maintenance/w-theirs",
            "/v1/alerts/f2",
        ):
            assert (await client.get(path)).status_code == 404
        query = await client.get("/api/v1/query", params={"query": "tidegate_gate_pass"})
        assert [s["metric"]["rollout"] for s in query.json()["data"]["result"]] == ["fw-2.3.0"]
        assert (await client.post("/v1/rollouts/theirs/end")).status_code == 404
        assert (await client.post("/v1/silences/s-theirs/end")).status_code == 404
        assert (await client.post("/v1/alerts/f2/acknowledge")).status_code == 404


async def test_series_come_from_the_store_of_ones_own_tenant(centre: Centre) -> None:
    rows = [Row("pump-1", "heap", start=T0 + index * 10_000, values=(float(index), 2.0)) for index in range(5)]
    for tenant in ("acme", "other"):
        batch = make_batch(rows, origin=Origin(tenant, "north", "gw", "b1"))
        await centre.store.write(batch, all_rows(batch)[: 5 if tenant == "acme" else 1])
    async with centre.client() as client:
        answer = (await client.get("/v1/series?device=pump-1&metric=heap&limit=3")).json()["data"]
        assert answer["truncated"] is True
        (series,) = answer["series"]
        assert series["start"] == [T0 + index * 10_000 for index in (2, 3, 4)]
        assert np.allclose(series["mean"], [2.0, 2.5, 3.0])
    async with centre.client("other") as client:
        (series,) = (await client.get("/v1/series?metric=heap")).json()["data"]["series"]
        assert series["start"] == [T0]


async def test_a_store_that_is_away_is_a_problem_to_retry(centre: Centre) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailableError("host store-7 refuses")

    centre.store.read = away  # type: ignore[method-assign]
    async with centre.client() as client:
        answer = await client.get("/v1/series?device=x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "store-7" not in answer.text


async def test_only_signed_events_of_known_gateways_are_believed(centre: Centre) -> None:
    stranger, liar = Gateway("acme", "north"), Gateway("acme", "north")
    liar._key = SOUTH._key
    unsigned = NORTH.device("unsigned")
    await centre.put(
        Outgoing(DEVICES, unsigned.key, unsigned.value, unsigned.headers[:-2]),
        stranger.device("stranger"),
        liar.device("liar"),  # signed by the other tenant's gateway, for our site
        Outgoing(DEVICES, b"north/garbage", b"garbage"),
        NORTH.device("honest"),
    )
    devices = await centre.eventually("/v1/devices", lambda answer: answer["data"])
    assert [device["device"] for device in devices["data"]] == ["honest"]
    async with centre.client() as client:
        metrics = (await client.get("/metrics")).text
    for reason in ("no_signature", "unknown_gateway", "foreign_origin"):
        assert f'records_total{{outcome="{reason}",topic="fleet.devices.v1"}}' in metrics


async def test_a_restart_reads_everything_again_and_says_when_it_has(centre: Centre) -> None:
    await fill(centre)
    again = Centre.__new__(Centre)
    again.__dict__ |= centre.__dict__
    again.api = again.build()
    run = asyncio.create_task(again.api.run())
    await again.api.started.wait()
    async with again.client() as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(ready, "readiness")
        assert (await client.get("/v1/gates/fw-2.3.0")).json()["data"]["verdict"] == "fail"
    again.api.drain()
    await asyncio.wait_for(run, 20)
