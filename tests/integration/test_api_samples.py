"""Raw samples through the API: asked with a token, answered by signed chunks, kept within bounds, never another tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashboards.api.auth import digest_of
from dashboards.api.config import Scope, TokenConfig
from ingest.contract.batch import DeviceRow, MetricRow, Origin
from ingest.contract.commands import key_id
from ingest.contract.records import Outgoing
from ingest.contract.requests import SampleRequest, open_request
from ingest.contract.samples import SAMPLE_COLUMNS, SampleChunk, Summary, encode_samples
from ingest.contract.topics import REQUESTS, SAMPLES
from ingest.runtime.gateways import signature_headers
from ingest.runtime.secrets import generate_private_key
from tests.api_centre import Centre, running
from tests.api_records import NOW, Gateway

if TYPE_CHECKING:
    from pathlib import Path

BODY = {"site": "north", "device": "pump-*", "metrics": ["t*"], "start": NOW, "end": NOW + 1000}


def centre(folder: Path, **config: Any) -> tuple[Centre, Ed25519PrivateKey]:
    key = generate_private_key(folder / "api.pem")
    gateways = [Gateway("acme", "north"), Gateway("acme", "south"), Gateway("other", "north", "gw-other")]
    return Centre(folder, gateways, signing_key_file=str(folder / "api.pem"), **config), key


def part(gateway: Gateway, request: str, number: int, rows: int = 3, *, chunks: int = 0, **changes: Any) -> Outgoing:
    """A chunk as a gateway sends it; the last one when `chunks` says how many there are."""
    columns = {"device": [0] * rows, "metric": [0] * rows, "ts": range(NOW, NOW + rows), "value": range(rows)}
    summary = Summary(
        outcome=changes.pop("outcome", "answered"),
        samples=rows * chunks,
        chunks=chunks,
        covered_from=NOW,
        covered_until=NOW + 1000,
        unreadable_blocks=0,
        unreadable=[],
    )
    chunk = SampleChunk(
        origin=Origin(gateway.tenant, gateway.site, gateway.name, "b"),
        request=request,
        attempt=changes.get("attempt", 1),
        chunk=number,
        created=NOW,
        devices=[DeviceRow("pump-1")],
        metrics=[MetricRow("t", labels=(("axis", "x"),))],
        columns={name: np.array(column, SAMPLE_COLUMNS[name]) for name, column in columns.items()},
        summary=summary if chunks else None,
    )
    value, key = encode_samples(chunk), gateway._key
    return Outgoing(SAMPLES, gateway.site.encode(), value, signature_headers(value, key, key_id(key.public_key())))


async def requests(here: Centre) -> list[bytes]:
    consumer = await here.log.subscribe([REQUESTS], group=None, member="test")
    try:
        return [record.value or b"" for record in await consumer.poll(100, 1.0)]
    finally:
        await consumer.close()


async def ask(here: Centre, tenant: str = "acme", **changes: Any) -> str:
    async with here.client(tenant) as client:
        answer = await client.post("/v1/samples", json=BODY | changes)
        assert answer.status_code == 202, answer.text
        name: str = answer.json()["data"]["request"]
        assert answer.headers["location"] == f"/v1/samples/{name}"
        return name


async def test_a_request_is_signed_answered_and_read(tmp_path: Path) -> None:
    here, key = centre(tmp_path)
    async with running(here):
        name = await ask(here)
        (envelope,) = await requests(here)
        asked: SampleRequest = open_request(envelope, {key_id(key.public_key()): key.public_key()})
        assert (asked.request, asked.tenant, asked.site, asked.asked_by) == (name, "acme", "north", "acme-all")
        assert (asked.device, asked.metrics, asked.start, asked.end) == ("pump-*", ["t*"], NOW, NOW + 1000)
        place, north = f"/v1/samples/{name}", here.gateways[0]
        waiting = await here.eventually(place, lambda _: True)
        assert [(g["gateway"], g["state"]) for g in waiting["data"]["gateways"]] == [("gw-north", "waiting")]
        await here.put(part(north, name, 0), part(north, name, 0))
        await here.eventually(place, lambda found: found["data"]["gateways"][0]["state"] == "answering")
        await here.put(part(north, name, 1, chunks=2))
        found = (await here.eventually(place, lambda found: found["data"]["done"]))["data"]["gateways"]
        assert [(g["state"], g["samples"], g["chunks"]) for g in found] == [("answered", 6, 2)]
        async with here.client() as client:
            chunk = (await client.get(f"{place}/gw-north/0")).json()["data"]
            assert (await client.get(f"{place}/gw-north/2")).status_code == 404
        assert chunk["table"] == [{"device": "pump-1", "metric": "t", "labels": {"axis": "x"}}]
        assert (chunk["series"], chunk["ts"], chunk["value"]) == ([0] * 3, [NOW, NOW + 1, NOW + 2], [0.0, 1.0, 2.0])


async def test_an_answer_that_began_anew_counts_from_there(tmp_path: Path) -> None:
    here, _ = centre(tmp_path)
    async with running(here):
        name, north = await ask(here), here.gateways[0]
        await here.put(part(north, name, 0, 9), part(north, name, 1, 5, attempt=2, chunks=2))
        await here.put(part(north, name, 1, chunks=2), part(north, name, 0, 5, attempt=2))
        found = await here.eventually(f"/v1/samples/{name}", lambda found: found["data"]["done"])
        (reply,) = found["data"]["gateways"]
        assert (reply["attempt"], reply["samples"], reply["state"]) == (2, 10, "answered")


async def test_a_refusal_and_an_expiry_are_told(tmp_path: Path) -> None:
    here, _ = centre(tmp_path)
    async with running(here):
        refused, ignored = await ask(here), await ask(here, expiry_s=1)
        await here.put(part(here.gateways[0], refused, 0, 0, chunks=1, outcome="too_many_requests"))
        found = await here.eventually(f"/v1/samples/{refused}", lambda found: found["data"]["done"])
        assert [(g["state"], g["reason"]) for g in found["data"]["gateways"]] == [("refused", "too_many_requests")]
        found = await here.eventually(f"/v1/samples/{ignored}", lambda found: found["data"]["done"])
        assert [g["state"] for g in found["data"]["gateways"]] == ["expired"]


async def test_tenants_are_never_crossed(tmp_path: Path) -> None:
    here, _ = centre(tmp_path)
    async with running(here):
        name = await ask(here)
        north, other = here.gateways[0], here.gateways[2]
        # Another tenant's gateway cannot answer for it, and another tenant's token cannot see it.
        await here.put(part(other, name, 0, chunks=1))
        forged = msgspec.structs.replace(part(north, name, 0, chunks=1), headers=part(other, name, 0).headers)
        await here.put(forged, part(north, name, 0, 1, chunks=1))
        found = await here.eventually(f"/v1/samples/{name}", lambda found: found["data"]["done"])
        assert [(g["gateway"], g["samples"]) for g in found["data"]["gateways"]] == [("gw-north", 1)]
        async with here.client("other") as client:
            assert (await client.get(f"/v1/samples/{name}")).status_code == 404
            assert (await client.get(f"/v1/samples/{name}/gw-other/0")).status_code == 404
            assert (await client.post("/v1/samples", json=BODY | {"site": "south"})).status_code == 404


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"site": "nowhere"}, 404, "nowhere"),
        ({"end": NOW}, 422, "start < end"),
        ({"metrics": ["*"] * 33}, 422, "at most 32"),
        ({"device": ""}, 422, "printable"),
        ({"expiry_s": 0.5}, 422, "expiry_s"),
        ({"expiry_s": 1e9}, 422, "expiry_s"),
        ({"most_samples": 0}, 422, "most_samples"),
        ({"devices": "x"}, 422, "devices"),
    ],
)
async def test_what_cannot_be_asked(tmp_path: Path, changes: dict[str, Any], status: int, told: str) -> None:
    here, _ = centre(tmp_path)
    async with running(here), here.client() as client:
        answer = await client.post("/v1/samples", json=BODY | changes)
        assert (answer.status_code, told in answer.text) == (status, True), answer.text
        assert (await client.post("/v1/samples", content=b"{")).status_code == 400
        assert await requests(here) == []


async def test_reading_is_not_enough_to_pull(tmp_path: Path) -> None:
    reader = TokenConfig(name="reader", tenant="acme", sha256=digest_of("secret"), scopes=[Scope.READ])
    here, _ = centre(tmp_path, tokens=[reader])
    async with running(here), here.client(token="secret") as client:
        assert (await client.post("/v1/samples", json=BODY)).status_code == 403
        assert (await client.get("/v1/samples/x")).status_code == 403
        assert (await client.get("/v1/samples/x/gw/0")).status_code == 403


async def test_without_a_key_nothing_is_asked(tmp_path: Path) -> None:
    here = Centre(tmp_path, [Gateway("acme", "north")])
    async with running(here), here.client() as client:
        answer = await client.post("/v1/samples", json=BODY)
        assert (answer.status_code, "signing_key_file" in answer.text) == (501, True)


async def test_answers_make_room_for_newer_ones(tmp_path: Path) -> None:
    here, _ = centre(tmp_path, samples_kept_bytes=5000)
    async with running(here):
        first, north = await ask(here), here.gateways[0]
        await here.put(part(north, first, 0, 100, chunks=1))
        await here.eventually(f"/v1/samples/{first}", lambda found: found["data"]["done"])
        second = await ask(here)
        await here.put(part(north, second, 0, 150, chunks=1))
        await here.eventually(f"/v1/samples/{second}", lambda found: found["data"]["done"])
        found = await here.eventually(f"/v1/samples/{first}", lambda _: True)
        assert [g["state"] for g in found["data"]["gateways"]] == ["forgotten"]
        async with here.client() as client:
            assert (await client.get(f"/v1/samples/{first}/gw-north/0")).status_code == 410
            assert (await client.get(f"/v1/samples/{second}/gw-north/0")).status_code == 200


async def test_unanswered_requests_are_bounded(tmp_path: Path) -> None:
    here, _ = centre(tmp_path)
    async with running(here), here.client() as client:
        answers = [(await client.post("/v1/samples", json=BODY)).status_code for _ in range(65)]
        assert answers == [202] * 64 + [429]


async def test_after_a_restart_requests_and_answers_are_known_again(tmp_path: Path) -> None:
    here, _ = centre(tmp_path)
    async with running(here):
        name = await ask(here)
        await here.put(part(here.gateways[0], name, 0, chunks=1))
    again, _ = centre(tmp_path)
    again.gateways = here.gateways
    again.api = again.build()
    async with running(again):
        found = await again.eventually(f"/v1/samples/{name}", lambda found: found["data"]["done"])
        assert found["data"]["asked_by"] == "acme-all"
