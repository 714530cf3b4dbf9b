"""What people do about alerts through the API: silence some, look after one; and what the API says of what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.contract.events import Acknowledgement, AlertState, Silence
from ingest.contract.records import Outgoing, read_event
from ingest.contract.topics import ACKNOWLEDGEMENTS, RULES, SILENCES
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH
from tests.api_records import NOW, alert_change, alert_record, rule_record
from tests.api_rollouts import audit_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MATCHERS = [{"label": "site", "pattern": "north"}, {"label": "device", "pattern": "pump-*", "unlike": True}]


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


async def test_a_silence_is_made_listed_and_ended(centre: Centre) -> None:
    ends_at = centre.clock.now_ms() + 3_600_000
    async with centre.client() as client:
        made = await client.post("/v1/silences", json={"matchers": MATCHERS, "ends_at": ends_at, "comment": "roof"})
        assert made.status_code == 201
        said = made.json()["data"]
        assert (said["by"], said["tenant"], said["ends_at"], said["kind"]) == ("acme-all", "acme", ends_at, "silence")
        place = made.headers["location"]
        assert (await client.get(place)).json()["data"] == said
        assert [one["id"] for one in (await client.get("/v1/silences")).json()["data"]] == [said["id"]]
        ended = (await client.post(f"{place}/end")).json()["data"]
        assert ended["ends_at"] < ends_at
        assert (await client.post(f"{place}/end")).json()["data"] == ended
        assert (await client.get("/v1/silences")).json()["data"] == []
        assert (await client.get("/v1/silences?ended=true")).json()["data"] == [ended]
    async with centre.client("other") as client:
        assert (await client.get("/v1/silences?ended=true")).json()["data"] == []
        assert (await client.post(f"{place}/end")).status_code == 404
    (record,) = (await centre.log.read_compacted(SILENCES)).values()
    kept = read_event(record, Silence)
    assert kept is not None
    assert kept.ends_at == ended["ends_at"]


@pytest.mark.parametrize(
    ("change", "status", "path"),
    [
        ({"matchers": []}, 422, "$.matchers"),
        ({"matchers": [{"label": "no label", "pattern": "x"}]}, 422, "$.matchers[0]"),
        ({"ends_at": 1}, 422, "$.ends_at"),
        ({"comment": "x" * 501}, 422, "$.comment"),
        ({"unknown": 1}, 422, ""),
    ],
)
async def test_a_bad_silence_is_refused_with_its_mistake(centre: Centre, change: dict[str, Any], status: int, path: str) -> None:  # fmt: skip
    asked = {"matchers": MATCHERS, "ends_at": centre.clock.now_ms() + 1000, **change}
    async with centre.client() as client:
        answer = await client.post("/v1/silences", json=asked)
        assert (await client.post("/v1/silences", content=b"{")).status_code == 400
    assert answer.status_code == status
    assert [one["path"] for one in answer.json().get("errors", [])] == ([path] if path else [])


async def test_who_looks_after_an_alert_says_so(centre: Centre) -> None:
    await centre.put(alert_record(), alert_record("f3", state=AlertState.RESOLVED, ends_at=NOW + 5))
    await centre.eventually("/v1/alerts", lambda answer: len(answer["data"]) == 2)
    async with centre.client() as client:
        assert (await client.get("/v1/alerts/f1")).json()["data"]["state"] == "firing"
        assert (await client.post("/v1/alerts/f1/acknowledge", json={"comment": "on my way"})).status_code == 202
        assert (await client.post("/v1/alerts/f3/acknowledge")).status_code == 409
        assert (await client.post("/v1/alerts/nothing/acknowledge")).status_code == 404
    (record,) = (await centre.log.read_compacted(ACKNOWLEDGEMENTS)).values()
    said = read_event(record, Acknowledgement)
    assert said is not None
    assert (said.fingerprint, said.by, said.starts_at, said.comment) == ("f1", "acme-all", NOW, "on my way")


async def test_every_list_is_paged_and_new_things_shift_nothing(centre: Centre) -> None:
    await centre.put(*(alert_record(f"f{index}", changed_at=NOW + index) for index in range(7)))
    await centre.put(*(audit_record(index) for index in range(7)))
    await centre.eventually("/v1/alerts", lambda answer: len(answer["data"]) == 7)
    await centre.eventually("/v1/audit", lambda answer: len(answer["data"]) == 7)
    found: dict[str, list[Any]] = {"/v1/alerts": [], "/v1/audit": []}
    async with centre.client() as client:
        for path, key in (("/v1/alerts", "fingerprint"), ("/v1/audit", "seq")):
            page = (await client.get(f"{path}?limit=3")).json()
            await centre.put(alert_record("newest", changed_at=NOW + 99), audit_record(99))
            await centre.eventually("/v1/alerts", lambda answer: answer["data"][0]["fingerprint"] == "newest")
            await centre.eventually("/v1/audit", lambda answer: answer["data"][0]["seq"] == 99)
            found[path] += [one[key] for one in page["data"]]
            while page["next"]:
                page = (await client.get(path, params={"limit": 3, "cursor": page["next"]})).json()
                found[path] += [one[key] for one in page["data"]]
    assert found["/v1/alerts"] == [f"f{index}" for index in reversed(range(7))]
    assert found["/v1/audit"][-7:] == list(reversed(range(7)))


async def test_dead_letters_of_ones_own_gateways(centre: Centre) -> None:
    await centre.put(NORTH.dead_letter(), SOUTH.dead_letter(reason="bad_value"))
    (letter,) = (await centre.eventually("/v1/dead-letters", lambda answer: answer["data"]))["data"]
    assert (letter["reason"], letter["gateway"], letter["topic"], letter["bytes"]) == (
        "malformed", "gw-north", "telemetry.rollups.v1", 7,
    )  # fmt: skip


async def test_rules_say_what_they_make_of_ones_own_fleet(centre: Centre) -> None:
    await centre.put(
        rule_record(),
        rule_record("DeviceSilent", kind="silence"),
        rule_record("SiteDark", kind="dark", enabled=False),
        rule_record("Old"),
        Outgoing(RULES, b"Old", None, ()),
        alert_record("a", state=AlertState.PENDING),
        alert_record("b", state=AlertState.RESOLVED),
        alert_record("c", tenant="other"),
    )
    await centre.eventually("/v1/alerts", lambda answer: len(answer["data"]) == 2)
    page = await centre.eventually("/v1/rules?limit=2", lambda answer: answer["next"])
    assert [(one["name"], one["state"], one["alerts"]) for one in page["data"]] == [
        ("DeviceSilent", "inactive", {}),
        ("MetricAnomaly", "pending", {"pending": 1, "resolved": 1}),
    ]
    async with centre.client() as client, centre.client("other") as other:
        (last,) = (await client.get(f"/v1/rules?limit=2&cursor={page['next']}")).json()["data"]
        assert (last["name"], last["state"]) == ("SiteDark", "disabled")
        assert (await other.get("/v1/rules/MetricAnomaly")).json()["data"]["alerts"] == {"firing": 1}
        assert (await client.get("/v1/rules/Old")).status_code == 404
        await centre.put(alert_record("a", state=AlertState.FIRING, changed_at=NOW + 1))
        await centre.eventually("/v1/rules/MetricAnomaly", lambda answer: answer["data"]["state"] == "firing")


async def test_what_became_of_an_alert_is_told_page_by_page_and_to_its_tenant_alone(centre: Centre) -> None:
    states = [AlertState.PENDING, AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.RESOLVED]
    await centre.put(
        *(alert_change(state, NOW + number, reason=f"step {number}", by="ann") for number, state in enumerate(states)),
        alert_change(AlertState.FIRING, NOW, "f2", name="DeviceSilent"),
        alert_change(AlertState.FIRING, NOW, "f3", tenant="other"),
    )
    whole = await centre.eventually("/v1/alert-history", lambda answer: len(answer["data"]) == 5)
    assert {one["tenant"] for one in whole["data"]} == {"acme"}
    async with centre.client() as client, centre.client("other") as other:
        first = (await client.get("/v1/alerts/f1/history?limit=3")).json()
        await centre.put(alert_change(AlertState.PENDING, NOW + 9))
        await centre.eventually("/v1/alert-history", lambda answer: len(answer["data"]) == 6)
        rest = (await client.get(f"/v1/alerts/f1/history?limit=3&cursor={first['next']}")).json()
        told = [(one["state"], one["reason"], one["by"]) for one in first["data"] + rest["data"]]
        assert told == [(state.value, f"step {number}", "ann") for number, state in enumerate(states)][::-1]
        assert (await other.get("/v1/alerts/f1/history")).status_code == 404
        for query, expected in (("rule=DeviceSilent", 1), ("state=firing", 2), (f"since={NOW + 3}", 2)):
            assert len((await client.get(f"/v1/alert-history?{query}")).json()["data"]) == expected, query
