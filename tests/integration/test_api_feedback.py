"""Not an anomaly, said and taken back through the API and the command line: who, when, why; one's own tenant's alone."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from compose.cli.main import tidegate
from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from ingest.contract.events import AnomalyStatus, FeedbackEvent
from ingest.contract.records import read_event
from ingest.contract.topics import FEEDBACK
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH
from tests.api_records import NOW, anomaly_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READER = new_token()


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    made = Centre(tmp_path, [NORTH, SOUTH])
    reader = TokenConfig(name="reader", tenant="acme", sha256=READER.sha256, scopes=[Scope.READ])
    made.config = msgspec.structs.replace(made.config, tokens=[*made.config.tokens, reader])
    made.api = made.build()
    async with running(made) as started:
        await started.put(
            anomaly_record(tail_probability=1e-12),
            anomaly_record(status=AnomalyStatus.LEFT, at=NOW + 5, tail_probability=0.1),
            anomaly_record("theirs", tenant="other"),
        )
        await started.eventually(
            "/v1/anomalies", lambda answer: answer["data"] and answer["data"][0]["status"] == "left"
        )
        await started.eventually("/v1/anomalies", lambda answer: answer["data"], "other")
        yield started


async def episode(centre: Centre, tenant: str = "acme") -> str:
    async with centre.client(tenant) as client:
        (anomaly,) = (await client.get("/v1/anomalies")).json()["data"]
    return str(anomaly["episode"])


async def kept(centre: Centre) -> list[FeedbackEvent | None]:
    return [read_event(record, FeedbackEvent) for record in (await centre.log.read_compacted(FEEDBACK)).values()]


async def test_it_is_said_listed_and_taken_back(centre: Centre) -> None:
    async with centre.client() as client:
        asked = {"anomaly": await episode(centre), "reason": "emptied on Mondays"}
        answer = await client.post("/v1/feedback", json=asked)
        said = answer.json()["data"]
        assert answer.status_code == 201
        assert (said["device"], said["metric"], said["scope"], said["by"]) == ("pump-1", "heap", "series", "acme-all")
        # As rare as its rarest moment was, not as its last one.
        assert said["seen"] == pytest.approx(-math.log(1e-12))
        assert said["rarity"] == pytest.approx(1.1 * said["seen"])
        assert (await client.get("/v1/feedback")).json()["data"] == [said]
        undone = await client.post(f"/v1/feedback/{said['id']}/undo", json={"reason": "it was a leak"})
        assert undone.status_code == 200
        assert undone.json()["data"] | {"undone_by": "", "undone_at": 0, "undone_reason": ""} == said
        again = await client.post(f"/v1/feedback/{said['id']}/undo", json={"reason": "once more"})
        assert again.json() == undone.json()
        assert (await client.get("/v1/feedback")).json()["data"] == []
        assert (await client.get("/v1/feedback?undone=true")).json()["data"] == [undone.json()["data"]]
    (record,) = await kept(centre)
    assert record is not None
    assert (record.undone_by, record.undone_reason) == ("acme-all", "it was a leak")


async def test_for_whom_one_may_say_it_and_how(centre: Centre) -> None:
    mine, theirs = await episode(centre), await episode(centre, "other")
    bodies: list[tuple[Any, int]] = [
        ({"anomaly": theirs, "reason": "r"}, 404),
        ({"anomaly": "anm-nothing", "reason": "r"}, 404),
        ({"anomaly": mine, "reason": "  "}, 400),
        ({"anomaly": mine, "reason": "r" * 501}, 400),
        ({"anomaly": mine}, 400),
        ({"anomaly": mine, "reason": "r", "scope": "world"}, 400),
        ({"anomaly": mine, "reason": "r", "more": 1}, 400),
    ]
    async with centre.client() as client, centre.client("other") as others, centre.client(token=READER.token) as reader:
        for body, status in bodies:
            assert (await client.post("/v1/feedback", json=body)).status_code == status, body
        assert (await reader.post("/v1/feedback", json={"anomaly": mine, "reason": "r"})).status_code == 403
        assert await kept(centre) == []
        said = (await client.post("/v1/feedback", json={"anomaly": mine, "reason": "r", "scope": "cohort"})).json()[
            "data"
        ]
        assert (await others.get("/v1/feedback")).json()["data"] == []
        assert (await others.post(f"/v1/feedback/{said['id']}/undo", json={"reason": "r"})).status_code == 404
        assert (await reader.post(f"/v1/feedback/{said['id']}/undo", json={"reason": "r"})).status_code == 403


async def test_of_a_cohort_over_sites_it_cannot_be_said(centre: Centre) -> None:
    shifted = anomaly_record("", site="", detector="cohort_shift", sites=7, devices=40, since=NOW + 1, hardware="rev-b")
    await centre.put(shifted)
    known = await centre.eventually("/v1/anomalies", lambda answer: len(answer["data"]) == 2)
    (name,) = [one["episode"] for one in known["data"] if one["sites"]]
    async with centre.client() as client:
        answer = await client.post("/v1/feedback", json={"anomaly": name, "reason": "it is summer"})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "no-series")
    assert await kept(centre) == []
    assert "  all rev-b 2.2.0 heap: 91.5, expected 40" in (await run(centre, "list")).output


async def test_the_command_line_says_it_lists_it_and_takes_it_back(centre: Centre) -> None:
    name = await episode(centre)
    listed = await run(centre, "list", "--device", "pump-1")
    assert listed.output.startswith(f"{name}  left")
    said = msgspec.json.decode((await run(centre, "normal", name, "--reason", "emptied", "--cohort")).output)
    assert said["scope"] == "cohort"
    assert "by acme-all: emptied" in (await run(centre, "said")).output
    await run(centre, "undo", said["id"], "--reason", "a leak")
    assert (await run(centre, "said")).output == ""
    assert "taken back by acme-all: a leak" in (await run(centre, "said", "--all")).output
    refused = await run(centre, "normal", "anm-nothing", "--reason", "r")
    assert refused.exit_code == 2
    assert "404" in refused.stderr


async def run(centre: Centre, *arguments: str) -> Result:
    environment = {"TIDEGATE_TOKEN": centre.tokens["acme"].token, "TIDEGATE_TOKEN_FILE": ""}
    command = ["anomaly", "--api", centre.api.address, *arguments]
    return await asyncio.to_thread(CliRunner(env=environment).invoke, tidegate, command)
