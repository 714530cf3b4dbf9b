"""The API over HTTP on the embedded log and store: who is let in, what is answered, what errors look like."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
import pytest

from dashboards.api.app import HANDLED
from dashboards.api.config import ApiConfigError, Scope, TokenConfig
from ingest.contract.batch import Origin
from ingest.contract.events import AlertState, DeviceState, Outcome, RolloutPlan
from ingest.contract.records import TRACE_HEADER, Outgoing
from ingest.contract.topics import DEVICES, PLANS
from ingest.runtime.store.port import StoreUnavailableError
from tests.api_centre import (
    NOW,
    Centre,
    Gateway,
    account_record,
    alert_record,
    anomaly_record,
    new_token,
    plan_body,
    plan_record,
    rollback_record,
    running,
    until,
    verdict_record,
)
from tests.mqtt_tls import certificates
from tests.rollup_batches import T0, Row, all_rows, make_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NORTH, SOUTH = Gateway("acme", "north"), Gateway("other", "south")


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


async def fill(centre: Centre) -> None:
    now = centre.clock.now_ms()
    await centre.put(
        NORTH.device("pump-1"),
        NORTH.device("pump-2", state=DeviceState.SILENT, firmware="2.3.0"),
        NORTH.heartbeat(now),
        SOUTH.device("secret-device"),
        plan_record(),
        verdict_record(outcome=Outcome.FAIL, log10_e=1.7, e_value=50.1),
        rollback_record(),
        plan_record("theirs", tenant="other"),
        alert_record(),
        alert_record("f2", tenant="other"),
        alert_record("f3", state=AlertState.RESOLVED),
        anomaly_record(),
        anomaly_record("secret-device", tenant="other"),
        account_record(),
        account_record(tenant="other", site="south"),
    )
    await centre.eventually("/v1/ledger", lambda answer: answer["data"]["accounts"])
    await centre.eventually("/v1/ledger", lambda answer: answer["data"]["accounts"], "other")
    await centre.eventually("/v1/anomalies", lambda answer: answer["data"])
    await centre.eventually("/v1/alerts?state=resolved", lambda answer: answer["data"])
    await centre.eventually("/v1/rollouts/fw-2.3.0", lambda answer: "rollback" in answer["data"])


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
        assert (await get("/v1/ledger"))["totals"]["balanced"] is True


async def test_a_tenant_sees_nothing_of_another(centre: Centre) -> None:
    await fill(centre)
    paths = [path for handler in HANDLED for path in handler.paths if "GET" in handler.http_methods and "{" not in path]
    paths += [
        "/v1/gates/theirs",
        "/v1/rollouts/theirs",
        "/v1/devices/south/secret-device",
        "/v1/series?device=secret-device",
    ]
    async with centre.client() as client:
        for path in (p for p in paths if p.startswith("/v1") and p != "/v1/events"):
            answer = await client.get(path)
            for theirs in ("secret-device", "gw-south", '"f2"', '"other"'):
                if theirs not in path:
                    assert theirs not in answer.text.replace(f'"{path}"', ""), path
        for path in ("/v1/gates/theirs", "/v1/rollouts/theirs", "/v1/devices/south/secret-device"):
            assert (await client.get(path)).status_code == 404
        query = await client.get("/api/v1/query", params={"query": "tidegate_gate_pass"})
        assert [s["metric"]["rollout"] for s in query.json()["data"]["result"]] == ["fw-2.3.0"]
        assert (await client.post("/v1/rollouts/theirs/end")).status_code == 404


def guarded_paths() -> list[tuple[str, str, str]]:
    """Method, path and scope of everything that is not open; the stream would never end."""
    found = []
    for handler in HANDLED:
        (method,), (path,), access = handler.http_methods - {"OPTIONS"}, handler.paths, handler.opt["access"]
        if access != "open" and path != "/v1/events":
            found.append((method, re.sub(r"{\w+:str}", "x", path), access))
    return found


async def test_nobody_gets_in_without_a_token_and_nobody_beyond_their_scopes(tmp_path: Path) -> None:
    scopes: dict[Scope, str] = {}
    configs = []
    for scope in Scope:
        fresh = new_token()
        scopes[scope] = fresh.token
        configs.append(TokenConfig(name=scope.name.lower(), tenant="acme", sha256=fresh.sha256, scopes=[scope]))
    async with running(Centre(tmp_path, [NORTH], tokens=configs)) as centre:
        async with centre.client(None) as client:
            for method, path, access in guarded_paths():
                denied = await client.request(method, path)
                assert (denied.status_code, denied.headers["www-authenticate"]) == (401, 'Bearer realm="tidegate"'), (
                    path
                )
                for wrong in ("Bearer nonsense", "Bearer", "Basic x", "bearer " + "x" * 5000):
                    answer = await client.request(method, path, headers={"Authorization": wrong})
                    assert answer.status_code == 401
                for scope, token in scopes.items():
                    answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
                    assert (answer.status_code == 403 and "lacks the scope" in answer.text) == (scope != access), path
        async with centre.client(token=scopes[Scope.METRICS]) as client:
            metrics = (await client.get("/metrics")).text
        denied_count = next(line for line in metrics.splitlines() if 'denied_total{reason="token"}' in line)
        assert float(denied_count.split()[-1]) > 50


async def test_reasons_are_for_bearers_and_for_this_machine(centre: Centre) -> None:
    async with centre.client(None) as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(ready, "readiness")
        centre.health.waiting("store", "host store-7 refuses")
        assert (await client.get("/healthz")).status_code == 200
        local = await client.get("/readyz")
        assert (local.status_code, local.json()["reasons"]) == (503, {"store": "host store-7 refuses"})
        proxied = await client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (proxied.status_code, proxied.json()) == (503, {"ready": False})
    async with centre.client() as client:
        told = await client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
        assert told.json()["reasons"] == {"store": "host store-7 refuses"}


async def test_every_error_is_a_problem_and_carries_the_security_headers(centre: Centre, caplog: Any) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret internals")

    async with centre.client() as client:
        cases = [
            (404, await client.get("/nope")),
            (404, await client.get("/schema/nope")),
            (404, await client.get("/v1/gates/unknown")),
            (405, await client.delete("/v1/gates/x")),
            (400, await client.get("/v1/devices?limit=0")),
            (400, await client.get("/v1/alerts?state=angry")),
            (400, await client.get("/v1/devices?cursor=%00%ff")),
            (400, await client.get("/v1/series")),
            (400, await client.get("/v1/events?kinds=gossip")),
            (400, await client.post("/v1/rollouts", content=b"{")),
            (422, await client.post("/v1/rollouts", json={"rollout": 5})),
            (413, await client.post("/v1/rollouts", content=b"x" * 2_000_000)),
            (400, await client.post("/flagger/confirm", content=b'{"x":' + b"[" * 9000)),
        ]
        centre.store.read = broken  # type: ignore[method-assign]
        cases.append((500, await client.get("/v1/series?device=x")))
    for status, answer in cases:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["instance"]) == (status, answer.request.url.path)
        assert problem["title"]
        assert problem["type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "Traceback" not in answer.text
        assert "secret internals" not in answer.text
    assert "secret internals" in caplog.text, "the log has what the answer must not have"
    assert cases[3][1].headers["allow"].startswith("GET")
    assert cases[5][1].json()["errors"][0]["path"] == "state"


async def test_a_rollout_is_created_once_and_ended(centre: Centre) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with centre.client(headers={"traceparent": trace}) as client:
        created = await client.post("/v1/rollouts", json=plan_body("fw-9", tenant="acme"))
        assert (created.status_code, created.headers["location"]) == (201, "/v1/rollouts/fw-9")
        assert created.json()["data"]["created_by"] == "acme-all"
        waiting = (await client.get("/v1/gates/fw-9")).json()["data"]
        assert (waiting["verdict"], waiting["at"]) == ("inconclusive", created.json()["data"]["created"])
        again = await client.post("/v1/rollouts", json=plan_body("fw-9"))
        assert (again.status_code, again.json()) == (200, created.json())
        other = await client.post("/v1/rollouts", json=plan_body("fw-9", alpha=0.01))
        assert (other.status_code, other.json()["type"]) == (409, "urn:tidegate:problem:rollout-exists")
        for _ in range(2):
            ended = await client.post("/v1/rollouts/fw-9/end")
            assert (ended.status_code, ended.json()["data"]["state"]) == (200, "ended")
        assert (await client.post("/v1/rollouts/unknown/end")).status_code == 404
    async with centre.client("other") as client:
        taken = await client.post("/v1/rollouts", json=plan_body("fw-9"))
        assert taken.status_code == 409
        assert "acme" not in taken.text
    kept = (await centre.log.read_compacted(PLANS))[b"fw-9"]
    assert (kept.header(TRACE_HEADER) or b"").decode().split("-")[1] == trace.split("-")[1]
    assert msgspec.json.decode(kept.value or b"", type=RolloutPlan).state == "ended"


async def test_concurrent_creations_lead_to_one_plan(centre: Centre) -> None:
    async with centre.client() as client:
        bodies = [plan_body("race", seed=seed) for seed in range(8)]
        answers = await asyncio.gather(*(client.post("/v1/rollouts", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_prometheus_clients_are_answered_in_their_format(centre: Centre) -> None:
    await fill(centre)
    async with centre.client() as client:
        probe = await client.get("/api/v1/query", params={"query": "vector(1)"})
        assert probe.json()["data"]["result"][0]["value"][1] == "1"
        now = centre.clock.now_ms() / 1000
        form = {"query": 'tidegate_gate_fail{rollout="fw-2.3.0"}', "time": str(now)}
        posted = await client.post("/api/v1/query", data=form)
        assert posted.json() == {
            "status": "success",
            "data": {
                "resultType": "vector",
                "result": [
                    {"metric": {"__name__": "tidegate_gate_fail", "rollout": "fw-2.3.0"}, "value": [now, "1"]},
                ],
            },
        }
        for bad in (
            {"query": "sum(x)"},
            {"query": "vector(1)", "time": "12"},
            {"query": "vector(1)", "time": "soon"},
            {},
        ):
            answer = await client.get("/api/v1/query", params=bad)
            assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


@pytest.mark.parametrize(
    ("outcome", "confirm", "rollback"),
    [(Outcome.PASS, 200, 403), (Outcome.FAIL, 403, 200), (Outcome.INCONCLUSIVE, 403, 403)],
)
async def test_flagger_opens_holds_and_rolls_back(
    centre: Centre, outcome: Outcome, confirm: int, rollback: int
) -> None:
    await centre.put(plan_record(), verdict_record(outcome=outcome))
    await centre.eventually("/v1/gates/fw-2.3.0", lambda answer: answer["data"]["reason"] == "because")
    hook = {"name": "fw-2.3.0", "namespace": "prod", "phase": "Progressing", "checksum": "1", "metadata": {}}
    named = hook | {"name": "canary", "metadata": {"rollout": "fw-2.3.0"}}
    # Flagger sends no headers of one's own: credentials stand in the webhook's URL.
    async with centre.client(None, auth=("flagger", centre.tokens["acme"].token)) as client:
        for body in (hook, named):
            assert (await client.post("/flagger/confirm", json=body)).status_code == confirm
            answer = await client.post("/flagger/rollback", json=body)
            assert (answer.status_code, answer.json().get("reason", "because")) == (rollback, "because")
        event = hook | {"metadata": {"eventMessage": "advanced", "eventType": "Normal", "timestamp": "1"}}
        assert (await client.post("/flagger/event", json=event)).status_code == 200
        unknown = await client.post("/flagger/rollback", json=hook | {"name": "unknown"})
        assert unknown.status_code == 403, "who is unknown is held, never rolled back"


@pytest.mark.parametrize(("outcome", "score"), [(Outcome.PASS, 100), (Outcome.FAIL, 0), (Outcome.INCONCLUSIVE, 85)])
async def test_who_asks_kayenta_is_answered_by_the_gate(centre: Centre, outcome: Outcome, score: float) -> None:
    await centre.put(plan_record(), verdict_record(outcome=outcome))
    await centre.eventually("/v1/gates/fw-2.3.0", lambda answer: answer["data"]["reason"] == "because")
    async with centre.client() as client:
        query = {"application": "a", "configurationAccountName": "c"}
        configs = (await client.get("/canaryConfig", params=query)).json()
        assert configs == [{"id": "fw-2.3.0", "name": "fw-2.3.0"}]
        asked = {
            "scopes": {"default": {"controlScope": {}, "experimentScope": {}}},
            "thresholds": {"pass": 95, "marginal": 75},
        }
        started = await client.post("/canary/fw-2.3.0", json=asked, params=query)
        answer = (await client.get(f"/canary/{started.json()['canaryExecutionId']}")).json()
        assert answer["complete"] is True
        assert answer["result"]["judgeResult"]["score"]["score"] == score
        assert (await client.post("/canary/strange", json=asked)).status_code == 404
        assert (await client.get("/canary/fw-2.3.0")).status_code == 400


async def test_kayentas_remote_judge_is_answered(centre: Centre) -> None:
    pair = {"name": "errors", "id": "1", "tags": None, "values": {"control": [0, 0, None, "NaN"], "experiment": [0, 0]}}
    async with centre.client() as client:
        answer = await client.post("/judge", json={"canaryConfig": {"metrics": None}, "metricSetPairList": [pair]})
        assert answer.status_code == 200
        assert answer.json()["results"][0]["classification"] == "Pass"
        bad = await client.post("/judge", content=b'{"metricSetPairList": 3}')
        assert bad.json()["type"].endswith("bad-analysis")


async def test_a_long_poll_is_answered_as_soon_as_the_gate_has_decided(centre: Centre) -> None:
    await centre.put(plan_record(), verdict_record(outcome=Outcome.INCONCLUSIVE))
    await centre.eventually("/v1/gates/fw-2.3.0", lambda answer: answer["data"]["reason"] == "because")
    async with centre.client() as client:
        at_once = await client.get("/v1/gates/fw-2.3.0", params={"wait": 0.05})
        assert at_once.json()["data"]["verdict"] == "inconclusive"
        waiting = asyncio.create_task(client.get("/v1/gates/fw-2.3.0", params={"wait": 60}, timeout=90))
        await asyncio.sleep(0.05)
        await centre.put(verdict_record(outcome=Outcome.PASS, at=NOW + 1))
        assert (await waiting).json()["data"]["verdict"] == "pass"
        assert (await client.get("/v1/gates/fw-2.3.0", params={"wait": 61})).status_code == 400
        assert (await client.get("/v1/gates/unknown", params={"wait": 1})).status_code == 404


async def test_people_pause_resume_and_approve_with_a_reason(centre: Centre) -> None:
    await centre.put(plan_record(), verdict_record(outcome=Outcome.INCONCLUSIVE))
    await centre.eventually("/v1/gates/fw-2.3.0", lambda answer: answer["data"]["reason"] == "because")
    base = "/v1/rollouts/fw-2.3.0"
    async with centre.client() as client:
        paused = await client.post(f"{base}/pause", json={"reason": "holiday"})
        assert paused.json()["data"]["state"] == "paused"
        assert (await client.get(base)).json()["data"]["reason"] == "acme-all: holiday"
        assert (await client.post(f"{base}/resume", json={"reason": "back"})).json()["data"]["state"] == "running"
        assert (await client.post(f"{base}/pause", json={"reason": " "})).status_code == 400
        assert (await client.post(f"{base}/pause")).status_code == 400
        assert (await client.post("/v1/rollouts/unknown/pause", json={"reason": "x"})).status_code == 404
        early = await client.post(f"{base}/approve", json={"reason": "x"})
        assert (early.status_code, early.json()["type"]) == (409, "urn:tidegate:problem:nothing-to-approve")
        await centre.put(verdict_record(outcome=Outcome.FAIL, at=NOW + 1))
        await centre.eventually("/v1/gates/fw-2.3.0", lambda answer: answer["data"]["verdict"] == "fail")
        for _ in range(2):
            assert (await client.post(f"{base}/approve", json={"reason": "seen"})).status_code == 200
        approvals = (await client.get(base)).json()["data"]["approvals"]
        assert [(one["by"], one["reason"]) for one in approvals] == [("acme-all", "seen")]
        assert (await client.post("/v1/rollouts", json=plan_body())).status_code == 200
        await client.post(f"{base}/end")
        assert (await client.post(f"{base}/resume", json={"reason": "x"})).status_code == 409


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


async def test_pages_follow_one_another(centre: Centre) -> None:
    await centre.put(*(NORTH.device(f"pump-{index:02d}") for index in range(25)))
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 25)
    found: list[str] = []
    cursor = ""
    async with centre.client() as client:
        while True:
            page = (await client.get("/v1/devices", params={"limit": 10, "cursor": cursor, "q": "PUMP"})).json()
            found += [device["device"] for device in page["data"]]
            if not (cursor := page["next"]):
                break
    assert found == [f"pump-{index:02d}" for index in range(25)]


async def test_rollouts_are_paged_newest_first(centre: Centre) -> None:
    await centre.put(*(plan_record(f"fw-{index}", created=NOW + index // 2) for index in range(7)))
    await centre.eventually("/v1/rollouts", lambda answer: len(answer["data"]) == 7)
    async with centre.client() as client:
        first = (await client.get("/v1/rollouts?limit=4")).json()
        rest = (await client.get("/v1/rollouts", params={"limit": 4, "cursor": first["next"]})).json()
    names = [item["rollout"] for item in first["data"] + rest["data"]]
    assert names == ["fw-6", "fw-4", "fw-5", "fw-2", "fw-3", "fw-0", "fw-1"]
    assert rest["next"] == ""


async def test_the_description_names_every_path_its_bodies_and_the_problems(centre: Centre) -> None:
    async with centre.client(None) as client:
        answer = await client.get("/schema")
    schema = answer.json()
    assert schema["openapi"].startswith("3.1")
    described = {path.replace(":str", "") for handler in HANDLED for path in handler.paths if handler.include_in_schema}
    assert set(schema["paths"]) == described
    body = schema["paths"]["/v1/rollouts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/NewRollout"}
    assert "canary_share" in schema["components"]["schemas"]["NewRollout"]["properties"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_large_answers_are_compressed_where_that_is_taken(centre: Centre) -> None:
    async with centre.client(None) as client:
        assert (await client.get("/schema", headers={"Accept-Encoding": "gzip"})).headers["content-encoding"] == "gzip"
        plain = await client.get("/schema", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers


async def test_tls_is_served_beyond_loopback_and_demanded_there(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    (tmp_path / "server.key").chmod(0o600)
    with pytest.raises(ApiConfigError, match="set tls_certificate and tls_key"):
        Centre(tmp_path, [NORTH], host="0.0.0.0")  # noqa: S104 - what must be refused
    centre = Centre(
        tmp_path,
        [NORTH],
        host="0.0.0.0",  # noqa: S104 - with TLS it may
        tls_certificate=files.server_cert,
        tls_key=files.server_key,
    )
    async with running(centre):
        port = httpx.URL(centre.api.address).port
        trusted = ssl.create_default_context(cafile=files.ca)
        async with httpx.AsyncClient(verify=trusted, trust_env=False) as client:
            answer = await client.get(f"https://127.0.0.1:{port}/healthz")
        assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")


async def test_the_page_is_served_whole_and_strict(centre: Centre) -> None:
    async with centre.client(None) as client:
        page = await client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for name in ("console.css", "main.js", "icon.svg"):
            file = await client.get(f"/console/{name}")
            assert file.status_code == 200
            assert name in page.text
            cached = await client.get(f"/console/{name}", headers={"If-None-Match": file.headers["etag"]})
            assert (cached.status_code, cached.content) == (304, b"")
        for path in (
            "/console/nothing.js",
            "/console/__init__.py",
            "/console/..%2Fapi%2Fapp.py",
            "/console/../api/app.py",
        ):
            assert (await client.get(path)).status_code == 404


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
