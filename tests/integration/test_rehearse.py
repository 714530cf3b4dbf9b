"""`tidegate rollout rehearse`: the exact requests to the owners of a rollout, of which none is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from compose.cli.main import tidegate
from ingest.runtime.secrets import write_secret
from tests.owner_clusters import ArgoRolloutsServer
from tests.owner_fleets import HawkBitServer
from tests.owner_front import kind_of, standing_in
from tests.owner_server import Server
from tests.owner_servers import SERVERS
from tests.receivers import Receiver

PLAN = Path(__file__).parents[2] / "docs" / "examples" / "rollout.toml"

CONFIG = """\
[analytics]
data_dir = "{folder}"
[analytics.gate]
signing_key_file = "{folder}/gate.pem"
[[analytics.gate.owners]]
name = "owner"
kind = "{kind}"
url = "{url}"
secret_file = "{folder}/secret"
[log]
kind = "sqlite"
path = "{folder}/log.db"
[[gateways]]
gateway = "gateway-north"
tenant = "acme"
site = "north"
public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""


async def rehearsed(server: Server, folder: Path, *arguments: str, actuator: str = "owner") -> tuple[Result, Receiver]:
    named = "".join(f"{name} = {json.dumps(value)}\n" for name, value in server.object.items())
    plan, config = folder / "plan.toml", folder / "analytics.toml"
    owner = f'\n[[actuators]]\nactuator = "{actuator}"\n[actuators.object]\n{named}'
    plan.write_text(PLAN.read_text() + owner)
    write_secret(folder / "secret", b"open sesame")
    async with Receiver(standing_in(server)) as receiver:
        config.write_text(CONFIG.format(folder=folder, kind=kind_of(server), url=receiver.url))
        command = ["rollout", "rehearse", str(plan), str(config), "--device", "north/d0", "--device", "north/d1"]
        result = await asyncio.to_thread(CliRunner().invoke, tidegate, [*command, *arguments])
    return result, receiver


@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.__name__)
async def test_every_owners_requests_are_told_and_none_is_sent_that_changes_anything(
    kind: type[Server], tmp_path: Path
) -> None:
    server = kind()
    result, receiver = await rehearsed(server, tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert {asked.method for asked in receiver.requests} == {"GET"}
    told = json.loads(result.output)
    assert (told["owner"], told["kind"]) == ("owner", kind_of(server))
    assert {request["method"] for request in told["requests"]} <= {"PATCH", "POST", "PUT"}
    assert told["requests"]
    assert "sesame" not in result.output


async def test_what_is_told_is_what_would_be_sent_to_the_byte(tmp_path: Path) -> None:
    server = ArgoRolloutsServer()
    result, _ = await rehearsed(server, tmp_path)
    *_, line = result.output.splitlines()
    method, address, content_type, body = line.split(maxsplit=3)
    async with Receiver(standing_in(server)) as receiver:
        path = httpx.URL(address).raw_path.decode()
        async with httpx.AsyncClient(base_url=receiver.url, trust_env=False, timeout=60.0) as client:
            await client.request(method, path, content=body, headers={"Content-Type": content_type})
    assert server.is_back()


async def test_devices_are_those_that_are_named(tmp_path: Path) -> None:
    mender: Any = next(kind for kind in SERVERS if kind.__name__ == "MenderServer")
    result, _ = await rehearsed(mender(), tmp_path, "--json")
    bodies = [request["body"] for request in json.loads(result.output)["requests"]]
    assert [body["devices"] for body in bodies if "devices" in body] == [["d0", "d1"]]


async def test_an_owner_that_cannot_go_back_is_named_with_the_reason(tmp_path: Path) -> None:
    server = ArgoRolloutsServer()
    server.status = {"stableRS": "new", "currentPodHash": "new"}
    result, _ = await rehearsed(server, tmp_path)
    assert result.exit_code == 1
    assert "owner: " in result.output
    assert "promoted in full" in result.output


async def test_an_owner_that_nobody_configured_is_named(tmp_path: Path) -> None:
    result, _ = await rehearsed(HawkBitServer(), tmp_path, actuator="another")
    assert result.exit_code == 1
    assert "no owner 'another' is configured" in result.output


async def test_a_device_without_a_site_is_a_mistake(tmp_path: Path) -> None:
    result, receiver = await rehearsed(HawkBitServer(), tmp_path, "--device", "d7")
    assert result.exit_code == 2
    assert receiver.requests == []
