"""Rollouts over HTTP: created once, ended, and their gate as Prometheus, Flagger and Kayenta ask for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from ingest.contract.events import Outcome, RolloutPlan
from ingest.contract.records import TRACE_HEADER
from ingest.contract.topics import PLANS
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH, fill
from tests.api_records import NOW
from tests.api_rollouts import plan_body, plan_record, verdict_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


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


@pytest.mark.parametrize(("control", "experiment"), [([0] * 6, [0, 1, 2, 1, 0, 0]), ([1] * 60, [1] * 53 + [100] * 7)])
async def test_what_kayenta_itself_passes_wrongly_is_not_passed_over_http(
    control: list[int], experiment: list[int], centre: Centre
) -> None:
    pair = {"name": "errors", "id": "1", "values": {"control": control, "experiment": experiment}}
    async with centre.client() as client:
        asked = {"canaryConfig": {"metrics": [{"name": "errors"}]}, "metricSetPairList": [pair]}
        answer = await client.post("/judge", json=asked)
    assert answer.json()["score"]["classification"] != "Pass"


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
        for verb in ("abort", "override"):
            assert (await client.post(f"{base}/{verb}", json={"reason": "smoke"})).status_code == 200
        said = (await client.get(base)).json()["data"]["interventions"]
        assert [(one["verb"], one["by"], one["reason"]) for one in said] == [
            ("resume", "acme-all", "back"),
            ("abort", "acme-all", "smoke"),
            ("override", "acme-all", "smoke"),
        ]
        await client.post(f"{base}/end")
        for verb in ("resume", "abort", "override"):
            assert (await client.post(f"{base}/{verb}", json={"reason": "x"})).status_code == 409
