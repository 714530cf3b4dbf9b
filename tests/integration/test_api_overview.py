"""What a first look needs in one answer: the same things as the stream begins with, the gravest where not all fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dashboards.api.overview import ALERTS
from ingest.contract.events import AlertState, DeviceChange
from tests.api_centre import Centre, running
from tests.api_filled import NORTH
from tests.api_records import NOW, account_record, alert_record, incident_record, maintenance_record, silence_record
from tests.api_rollouts import plan_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MANY = {
    "site": "sites",
    "alert": "alerts",
    "rollout": "rollouts",
    "incident": "incidents",
    "silence": "silences",
    "maintenance": "maintenance",
}


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH])) as started:
        yield started


async def test_one_answer_says_what_the_stream_begins_with_and_nothing_of_other_tenants(centre: Centre) -> None:
    await centre.put(NORTH.device("pump-1"), plan_record(), alert_record(), incident_record(), account_record())
    await centre.put(silence_record(), maintenance_record(), alert_record("theirs", tenant="other"))
    known = await centre.eventually("/v1/overview", lambda answer: answer["data"]["maintenance"])
    found = known["data"]
    assert found["whole"] is True
    assert found["incidents"][0]["affected"] == []
    assert [alert["fingerprint"] for alert in found["alerts"]] == ["f1"]
    assert await _beginning_of_the_stream(centre) == {
        kind: found[many] if kind in MANY else [found[many]]
        for kind, many in {**MANY, "fleet": "fleet", "account": "account"}.items()
    }


async def test_where_not_everything_fits_the_gravest_is_there_and_it_is_said(centre: Centre) -> None:
    resolved = (alert_record(f"r{number}", state=AlertState.RESOLVED) for number in range(ALERTS))
    await centre.put(*resolved, alert_record("firing"))
    known = await centre.eventually("/v1/overview", lambda answer: not answer["data"]["whole"])
    assert len(known["data"]["alerts"]) == ALERTS
    assert known["data"]["alerts"][0]["fingerprint"] == "firing"


async def test_what_happened_to_a_device_is_told_the_newest_first(centre: Centre) -> None:
    story = (DeviceChange.FIRST_SEEN, DeviceChange.INSTALLED, DeviceChange.REBOOTED)
    await centre.put(*(NORTH.device("pump-1", at=NOW + step, change=change) for step, change in enumerate(story)))
    await centre.put(NORTH.device("pump-2"))
    path = "/v1/changes?site=north&device=pump-1"
    known = await centre.eventually(path, lambda answer: len(answer["data"]) == len(story))
    assert [one["change"] for one in known["data"]] == [change.value for change in reversed(story)]
    async with centre.client() as client:
        installed = (await client.get(f"{path}&change=installed")).json()
        first = (await client.get(f"{path}&limit=2")).json()
        rest = (await client.get(f"{path}&limit=2&cursor={first['next']}")).json()
    assert [one["at"] for one in installed["data"]] == [NOW + 1]
    assert [one["at"] for one in (*first["data"], *rest["data"])] == [NOW + 2, NOW + 1, NOW]
    assert rest["next"] == ""


async def test_files_named_by_their_content_are_kept_for_good(centre: Centre) -> None:
    async with centre.client(None) as client:
        page = await client.get("/")
        assert page.headers["cache-control"] == "no-cache"
        address = page.text.partition('src="/console/main.js')[2].partition('"')[0]
        named = await client.get(f"/console/main.js{address}")
        plain = await client.get("/console/main.js", headers={"Accept-Encoding": "identity"})
    assert address.startswith("?v=")
    assert "immutable" in named.headers["cache-control"]
    assert (named.headers["content-encoding"], plain.headers["cache-control"]) == ("gzip", "no-cache")
    assert named.content == plain.content


async def _beginning_of_the_stream(centre: Centre) -> dict[str, list[Any]]:
    told: dict[str, list[Any]] = {}
    kinds = ",".join((*MANY, "fleet", "account"))
    async with centre.client() as client, client.stream("GET", f"/v1/events?kinds={kinds}") as answer:
        kind = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind == "whole":
                return told
            elif line.startswith("data: ") and kind != "hello":
                told.setdefault(kind, []).append(msgspec.json.decode(line.removeprefix("data: ")))
    raise EOFError
