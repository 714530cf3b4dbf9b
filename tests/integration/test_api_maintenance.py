"""Maintenance windows through the API: made, listed with their next hours, ended; bounded, and each tenant's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from ingest.contract.events import AlertState, MaintenanceWindow
from ingest.contract.events.maintenance import MOST_WINDOWS
from ingest.contract.records import read_event
from ingest.contract.topics import MAINTENANCE
from tests.alert_world import T0, TENANT, Fleet, Watched, anomaly
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH
from tests.api_records import Gateway, maintenance_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READER = new_token()
DAY = 86_400_000
MATCHERS = [{"label": "site", "pattern": "north"}, {"label": "device", "pattern": "pump-*", "unlike": True}]
ALWAYS = {"begins": "00:00", "lasts_s": 86_400, "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
SATURDAYS = {"begins": "02:00", "lasts_s": 7200, "days": ["sat"], "timezone": "Europe/Berlin"}


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(tmp_path, [NORTH, SOUTH])
    reader = TokenConfig(name="reader", tenant="acme", sha256=READER.sha256, scopes=[Scope.READ])
    made.config = msgspec.structs.replace(made.config, tokens=[*made.config.tokens, reader])
    made.api = made.build()
    async with running(made) as started:
        yield started


async def test_a_window_is_made_listed_and_ended(centre: Centre) -> None:
    now = centre.clock.now_ms()
    async with centre.client() as client:
        later = (await client.post("/v1/maintenance", json={"matchers": MATCHERS, "hours": SATURDAYS})).json()["data"]
        made = await client.post("/v1/maintenance", json={"matchers": MATCHERS, "hours": ALWAYS, "comment": "roof"})
        assert made.status_code == 201
        said = made.json()["data"]
        assert (said["by"], said["tenant"], said["ends_at"], said["comment"]) == ("acme-all", "acme", 0, "roof")
        assert said["hours"] == {**ALWAYS, "timezone": "UTC", "date": ""}
        assert said["opens_at"] <= now < said["closes_at"] == said["opens_at"] + DAY
        assert later["closes_at"] - later["opens_at"] == 7_200_000
        place = made.headers["location"]
        seen = await client.get(place)
        assert seen.json()["data"] == said
        assert [one["id"] for one in (await client.get("/v1/maintenance")).json()["data"]] == [said["id"], later["id"]]
        first = (await client.get("/v1/maintenance?limit=1")).json()
        rest = (await client.get(f"/v1/maintenance?limit=1&cursor={first['next']}")).json()
        assert [one["id"] for one in first["data"] + rest["data"]] == [said["id"], later["id"]]
        assert rest["next"] == ""
        other = {"If-Match": '"another"'}
        assert (await client.post(f"{place}/end", headers=other)).status_code == 412
        ended = (await client.post(f"{place}/end", headers={"If-Match": seen.headers["etag"]})).json()["data"]
        assert (ended["opens_at"], ended["closes_at"]) == (0, 0)
        assert (await client.post(f"{place}/end")).json()["data"] == ended
        assert [one["id"] for one in (await client.get("/v1/maintenance")).json()["data"]] == [later["id"]]
        assert (await client.get("/v1/maintenance?ended=true")).json()["data"] == [later, ended]
    async with centre.client("other") as client:
        assert (await client.get("/v1/maintenance?ended=true")).json()["data"] == []
        assert (await client.get(place)).status_code == 404
        assert (await client.post(f"/v1/maintenance/{later['id']}/end")).status_code == 404
    records = await centre.log.read_compacted(MAINTENANCE)
    kept = read_event(records[said["id"].encode()], MaintenanceWindow)
    assert kept is not None
    assert (kept.by, kept.ends_at) == ("acme-all", ended["ends_at"])


async def test_what_the_api_writes_the_stage_of_alerts_heeds_and_the_next_api_knows(tmp_path: Path) -> None:
    fleet = Fleet(("north", "south"))
    gateways = [Gateway(TENANT, "north")]
    async with running(Centre(tmp_path, gateways, (TENANT,))) as before, before.client(TENANT) as client:
        new = {"matchers": MATCHERS, "hours": ALWAYS}
        kept, ended = [(await client.post("/v1/maintenance", json=new)).json()["data"]["id"] for _ in range(2)]
        assert (await client.post(f"/v1/maintenance/{ended}/end")).status_code == 200
        records = list((await before.log.read_compacted(MAINTENANCE)).values())
    watched = Watched(fleet)
    watched.now = before.clock.now_ms()
    alarms = (anomaly("mast-1", T0), anomaly("pump-1", T0), anomaly("mast-1", T0, site="south"))
    watched.stage.step(records, watched.now)
    watched.restart()
    assert [(one.state, one.by) for one in watched.feed(*alarms)] == [
        (AlertState.SUPPRESSED, f"maintenance:{kept}"),
        (AlertState.FIRING, ""),
        (AlertState.FIRING, ""),
    ]
    async with running(Centre(tmp_path, gateways, (TENANT,))) as after:
        known = await after.eventually("/v1/maintenance", lambda answer: answer["data"], TENANT)
    assert [one["id"] for one in known["data"]] == [kept]


async def test_a_window_may_be_once_and_may_have_a_last_day(centre: Centre) -> None:
    now = centre.clock.now_ms()
    once = {"begins": "00:00", "lasts_s": 3600, "date": "2999-12-01"}
    async with centre.client() as client:
        said = (await client.post("/v1/maintenance", json={"matchers": MATCHERS, "hours": once})).json()["data"]
        assert (said["hours"]["days"], said["closes_at"] - said["opens_at"]) == ([], 3_600_000)
        until = {"matchers": MATCHERS, "hours": ALWAYS, "ends_at": now + 60_000}
        said = (await client.post("/v1/maintenance", json=until)).json()["data"]
        assert said["closes_at"] == now + 60_000 or said["closes_at"] < now + 60_000 < said["closes_at"] + DAY


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"matchers": []}, "$.matchers"),
        ({"matchers": [{"label": "no label", "pattern": "x"}]}, "$.matchers[0]"),
        ({"ends_at": 1}, "$.hours"),
        ({"ends_at": -1}, "$.ends_at"),
        ({"hours": {"begins": "02:00", "lasts_s": 60, "date": "2020-01-01"}}, "$.hours"),
        ({"comment": "x" * 501}, "$.comment"),
        ({"hours": ALWAYS | {"timezone": "Berlin"}}, "expected one like Europe/Berlin"),
        ({"hours": ALWAYS | {"days": []}}, "needs either days or date"),
        ({"hours": ALWAYS | {"days": ["lundi"]}}, "Invalid enum value 'lundi'"),
        ({"hours": ALWAYS | {"begins": "25:00"}}, "expected hh:mm"),
        ({"hours": ALWAYS | {"lasts_s": 1e9}}, "at most a week"),
        ({"hours": ALWAYS | {"every": "2nd"}}, "unknown field `every`"),
        ({"unknown": 1}, "unknown field `unknown`"),
    ],
)
async def test_a_bad_window_is_refused_with_its_mistake(centre: Centre, change: dict[str, Any], path: str) -> None:
    async with centre.client() as client:
        answer = await client.post("/v1/maintenance", json={"matchers": MATCHERS, "hours": ALWAYS, **change})
    assert answer.status_code == 422
    told = answer.json()
    assert path in ([one["path"] for one in told.get("errors", [])] or told["detail"])


async def test_who_may_only_read_makes_and_ends_none(centre: Centre) -> None:
    await centre.put(maintenance_record())
    await centre.eventually("/v1/maintenance", lambda answer: answer["data"])
    async with centre.client(token=READER.token) as client:
        assert len((await client.get("/v1/maintenance")).json()["data"]) == 1
        assert (await client.post("/v1/maintenance", json={})).status_code == 403
        assert (await client.post("/v1/maintenance/w-1/end")).status_code == 403


async def test_a_tenant_has_so_many_and_no_more(centre: Centre) -> None:
    await centre.put(*(maintenance_record(f"w-{n}") for n in range(MOST_WINDOWS)))
    await centre.eventually("/v1/maintenance?limit=1000", lambda answer: len(answer["data"]) == MOST_WINDOWS)
    new = {"matchers": MATCHERS, "hours": SATURDAYS}
    async with centre.client() as client, centre.client("other") as other:
        assert (await client.post("/v1/maintenance", json=new)).status_code == 409
        assert (await other.post("/v1/maintenance", json=new)).status_code == 201
        assert (await client.post("/v1/maintenance/w-7/end")).status_code == 200
        assert (await client.post("/v1/maintenance", json=new)).status_code == 201
