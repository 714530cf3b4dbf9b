"""How requests and answers travel: entity tags, writes sent again, how often one may ask, pages of other origins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ingest.contract.topics import SILENCES
from ingest.runtime.clock import ManualClock
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH
from tests.api_rollouts import plan_body, plan_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ingest.contract.records import Record


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


async def test_what_the_asker_has_is_not_sent_again(centre: Centre) -> None:
    await centre.put(*(NORTH.device(f"pump-{index:02d}") for index in range(25)))
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 25)
    async with centre.client() as client:
        plain = await client.get("/v1/devices", headers={"Accept-Encoding": "identity"})
        small = await client.get("/v1/devices", headers={"Accept-Encoding": "br, gzip;q=0.5"})
        refused = await client.get("/v1/devices", headers={"Accept-Encoding": "gzip;q=0"})
        assert plain.json() == small.json() == refused.json()
        assert small.headers["content-encoding"] == "gzip"
        assert {"content-encoding"} & set(plain.headers) == {"content-encoding"} & set(refused.headers) == set()
        assert plain.headers["etag"] != small.headers["etag"], "other bytes, another tag"
        assert plain.headers["cache-control"] == "private, no-cache"
        for tag in (plain.headers["etag"], small.headers["etag"], f'"x", W/{plain.headers["etag"]}', "*"):
            again = await client.get("/v1/devices", headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b""), tag
            assert again.headers["x-content-type-options"] == "nosniff"
        await centre.put(NORTH.device("pump-new"))
        await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 26)
        changed = await client.get("/v1/devices", headers={"If-None-Match": plain.headers["etag"]})
        assert (changed.status_code, len(changed.json()["data"])) == (200, 26)


async def test_a_change_is_made_to_what_was_seen_or_not_at_all(centre: Centre) -> None:
    await centre.put(plan_record())
    await centre.eventually("/v1/rollouts", lambda answer: answer["data"])
    async with centre.client() as client:
        seen = (await client.get("/v1/rollouts/fw-2.3.0")).headers["etag"]
        said = {"reason": "it rains"}
        first = await client.post("/v1/rollouts/fw-2.3.0/pause", json=said, headers={"If-Match": seen})
        assert (first.status_code, first.json()["data"]["state"]) == (200, "paused")
        late = await client.post("/v1/rollouts/fw-2.3.0/resume", json=said, headers={"If-Match": seen})
        assert (late.status_code, late.json()["type"]) == (412, "urn:tidegate:problem:changed-meanwhile")
        assert (await client.get("/v1/rollouts/fw-2.3.0")).json()["data"]["state"] == "paused"
        now = (await client.get("/v1/rollouts/fw-2.3.0")).headers["etag"]
        fresh = await client.post("/v1/rollouts/fw-2.3.0/resume", json=said, headers={"If-Match": now})
        assert (fresh.status_code, fresh.json()["data"]["state"]) == (200, "running")


async def test_a_write_sent_again_is_done_once(centre: Centre) -> None:
    asked = {"matchers": [{"label": "site", "pattern": "north"}], "ends_at": centre.clock.now_ms() + 3_600_000}
    again = {"Idempotency-Key": "6c2f"}
    async with centre.client() as client:
        first = await client.post("/v1/silences", json=asked, headers=again)
        second = await client.post("/v1/silences", json=asked, headers=again)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert first.headers["location"] == second.headers["location"]
        assert second.headers["idempotent-replayed"] == "true"
        other = await client.post("/v1/silences", json=asked | {"comment": "x"}, headers=again)
        assert (other.status_code, other.json()["type"]) == (422, "urn:tidegate:problem:idempotency-key-reused")
        assert (
            await client.post("/v1/silences", json=asked, headers={"Idempotency-Key": "x" * 201})
        ).status_code == 400
        unlike = await client.post("/v1/silences", json=asked, headers={"Idempotency-Key": "another"})
        assert unlike.json()["data"]["id"] != first.json()["data"]["id"]
    async with centre.client("other") as client:
        theirs = await client.post("/v1/silences", json=asked, headers=again)
        assert theirs.json()["data"]["tenant"] == "other", "keys are each sender's own"
    assert len(await centre.log.read_compacted(SILENCES)) == 3


async def test_a_mistake_is_answered_the_same_and_an_error_of_the_server_is_tried_again(centre: Centre) -> None:
    async with centre.client() as client:
        bad = [await client.post("/v1/rollouts", json={"rollout": 5}, headers={"Idempotency-Key": "a"}) for _ in "12"]
        assert [one.status_code for one in bad] == [422, 422]
        assert bad[0].content == bad[1].content
        append = centre.log.append

        async def broken(_: object) -> None:
            raise OSError("no space")

        centre.log.append = broken  # type: ignore[assignment, method-assign]
        headers = {"Idempotency-Key": "b"}
        assert (await client.post("/v1/rollouts", json=plan_body(), headers=headers)).status_code == 500
        centre.log.append = append  # type: ignore[method-assign]
        assert (await client.post("/v1/rollouts", json=plan_body(), headers=headers)).status_code == 201


async def test_the_same_write_at_the_same_time_waits_for_its_sender(centre: Centre) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    append = centre.log.append

    async def slow(records: list[Record]) -> None:
        reached.set()
        await go_on.wait()
        await append(records)  # type: ignore[arg-type]

    centre.log.append = slow  # type: ignore[assignment, method-assign]
    asked = {"matchers": [{"label": "site", "pattern": "north"}], "ends_at": centre.clock.now_ms() + 3_600_000}
    async with centre.client() as client, centre.client() as second:
        first = asyncio.create_task(client.post("/v1/silences", json=asked, headers={"Idempotency-Key": "k"}))
        await reached.wait()
        waiting = await second.post("/v1/silences", json=asked, headers={"Idempotency-Key": "k"})
        go_on.set()
        assert (waiting.status_code, waiting.json()["type"]) == (409, "urn:tidegate:problem:still-under-way")
        assert (await first).status_code == 201


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    clock = ManualClock()
    bounded = Centre(tmp_path, [NORTH, SOUTH], clock=clock, requests_per_s=0.5, requests_at_once=2)
    async with running(bounded) as centre, centre.client() as client, centre.client("other") as other:
        granted = [await client.get("/v1/fleet") for _ in range(2)]
        assert [one.headers["ratelimit"] for one in granted] == ['"token";r=1', '"token";r=0;t=2']
        assert granted[0].headers["ratelimit-policy"] == '"token";q=2;w=4'
        denied = await client.get("/v1/fleet")
        assert (denied.status_code, denied.headers["retry-after"]) == (429, "2")
        assert denied.headers["content-type"] == "application/problem+json"
        assert (await other.get("/v1/fleet")).status_code == 200, "each token has its own"
        clock.advance(2.0)
        assert (await client.get("/v1/fleet")).status_code == 200


async def test_pages_of_other_origins_may_ask_only_where_it_is_configured(tmp_path: Path, centre: Centre) -> None:
    asks = {"Origin": "https://status.example", "Access-Control-Request-Method": "GET"}
    async with centre.client() as client:
        for answer in (await client.options("/v1/fleet", headers=asks), await client.get("/v1/fleet", headers=asks)):
            assert not [name for name in answer.headers if name.startswith("access-control-allow-origin")]
    (tmp_path / "open").mkdir()
    named = Centre(tmp_path / "open", [NORTH, SOUTH], cors_origins=["https://status.example"])
    async with running(named) as opened, opened.client() as client:
        before = await client.options("/v1/fleet", headers=asks)
        assert before.headers["access-control-allow-origin"] == "https://status.example"
        assert "authorization" in before.headers["access-control-allow-headers"].lower()
        allowed = await client.get("/v1/fleet", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == "https://status.example"
        assert "access-control-allow-credentials" not in allowed.headers
        strange = await client.get("/v1/fleet", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in strange.headers
