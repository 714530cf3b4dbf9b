"""Orders out of the log to owners that answer over HTTP: delivered once, tried again, buried with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from analytics.rollback.attempts import OWNERS, OrderAttempt, Tried, secret_of
from analytics.rollback.credentials import Auth, aws_headers, credentials
from analytics.rollback.orders import ORDER_SETTINGS, ORDERS
from analytics.rollback.owners.owner import Request
from analytics.rollback.sender import Sender
from analytics.rollouts.config import KINDS, GateConfig, OwnerConfig
from ingest.contract.records import Outgoing, Record, event_record
from ingest.contract.topics import DEAD_SETTINGS, dead
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from ingest.runtime.telemetry import Telemetry
from tests.owner_fleets import MenderServer
from tests.owner_server import Server
from tests.rollback_orders import buried

T0 = 1_700_000_000_000
CLOCK = SystemClock()


def config(**changes: object) -> OwnerConfig:
    known = {"name": "owner", "kind": "mender", "url": "http://mender.test", "secret_file": "x"}
    return OwnerConfig(**(known | changes))  # type: ignore[arg-type]


def order_record(server: Server, **changes: object) -> Outgoing:
    order = msgspec.structs.replace(server.order(), **changes)
    return event_record(ORDERS, order.rollout, order, event_id=f"{order.id}:0", source="tidegate/gate", time=T0)


def read(outgoing: Outgoing) -> Record:
    return Record(outgoing.topic, 0, 0, outgoing.key, outgoing.value, outgoing.headers, T0)


def client_of(server: Server, seen: list[httpx.Request] | None = None) -> httpx.AsyncClient:
    def answer(asked: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(asked)
        body = msgspec.json.decode(asked.content) if asked.content else None
        path = asked.url.raw_path.decode()
        kind = asked.headers.get("content-type", "application/json")
        found = server.handle(Request(method=asked.method, path=path, body=body, content_type=kind))
        content = b"" if found.body is None else msgspec.json.encode(found.body)
        return httpx.Response(found.status, content=content)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def tried(server: Server, owner: OwnerConfig, **changes: object) -> tuple[Tried, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    attempt = OrderAttempt([owner], lambda _: "secret", CLOCK)
    async with client_of(server, seen) as client:
        return await attempt(client, read(order_record(server, **changes))), seen


def test_every_kind_of_owner_has_its_way_back() -> None:
    assert set(KINDS) == set(OWNERS)


async def test_an_order_is_carried_out_with_credentials_and_only_looked_at_when_it_comes_again() -> None:
    server = MenderServer()
    answer, seen = await tried(server, config())
    assert answer == Tried()
    assert server.is_back()
    assert {asked.headers["authorization"] for asked in seen} == {"Bearer secret"}
    again, seen = await tried(server, config())
    assert again == Tried()
    assert {asked.method for asked in seen} == {"GET"}


async def test_a_dry_owner_is_only_looked_at_and_the_log_tells_the_exact_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = MenderServer()
    answer, seen = await tried(server, config(dry_run=True))
    assert answer == Tried()
    assert {asked.method for asked in seen} == {"GET"}
    abort, create = [record.getMessage() for record in caplog.records if "dry run" in record.getMessage()]
    address = "http://mender.test/api/management/v1/deployments/deployments"
    assert abort == f'owner: dry run: PUT {address}/dep-1/status application/json {{"status":"aborted"}}'
    assert create.startswith(f"owner: dry run: POST {address} application/json ")


async def test_a_token_is_read_anew_for_every_try(tmp_path: Path) -> None:
    token = tmp_path / "token"
    owner = config(secret_file=str(token))
    attempt = OrderAttempt([owner], secret_of, CLOCK)
    seen: list[httpx.Request] = []
    async with client_of(MenderServer(), seen) as client:
        for secret in ("first", "second"):
            write_secret(token, secret.encode())
            assert await attempt(client, read(order_record(MenderServer()))) == Tried()
            assert {asked.headers["authorization"] for asked in seen} == {f"Bearer {secret}"}
            seen.clear()
        token.unlink()
        answer = await attempt(client, read(order_record(MenderServer())))
    assert (answer.is_final, seen) == (False, [])
    assert "token" in answer.problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actuator": "other"}, "no owner 'other' is configured"),
        ({"object": {}}, "names no deployment_id, artifact_name"),
    ],
)
async def test_what_nobody_can_carry_out_is_for_people(changes: dict[str, object], words: str) -> None:
    answer, _ = await tried(MenderServer(), config(), **changes)
    assert answer.is_final
    assert words in answer.problem


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110 - another task changes it
            await asyncio.sleep(0.01)


async def test_the_sender_tries_again_until_it_is_done_and_buries_what_is_refused(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics({ORDERS: ORDER_SETTINGS, dead(ORDERS): DEAD_SETTINGS})
    server = MenderServer()
    await log.append([order_record(server), order_record(server, actuator="unknown")])
    lives = 0
    attempt = OrderAttempt([config()], lambda _: "secret", CLOCK)

    async def once_away(_: httpx.AsyncClient, record: Record) -> Tried:
        nonlocal lives
        lives += 1
        if lives == 1:
            return Tried("the owner is away")
        async with client_of(server) as client:
            return await attempt(client, record)

    sender = Sender(
        "rollback-orders", ORDERS, once_away, log=log, health=Health(), telemetry=Telemetry("test"), member="m"
    )
    running = asyncio.create_task(sender.run())
    await until(lambda: lives >= 3)
    letter = await buried(log, sender, running)
    assert server.is_back()
    assert "no owner 'unknown'" in str(letter.headers)


def test_a_signature_is_that_of_awss_own_example_of_the_method() -> None:
    # The published test suite's "get-vanilla": service, region, key and date are its.
    headers = aws_headers(
        Request(method="GET", path="/"),
        b"",
        host="example.amazonaws.com",
        region="us-east-1",
        key="AKIDEXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        now_ms=1_440_938_160_000,
        service="service",
    )
    assert headers["X-Amz-Date"] == "20150830T123600Z"
    assert headers["Authorization"].endswith(
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_credentials_are_shown_as_each_owner_wants_them() -> None:
    look = Request(method="GET", path="/jobs/x?force=true")

    def shown(auth: Auth, secret: str) -> dict[str, str]:
        return credentials(auth, secret, url="https://iot.eu-west-1.amazonaws.com", region="eu-west-1", clock=CLOCK)(
            look, b""
        )

    assert shown(Auth.NONE, "") == {}
    assert shown(Auth.BASIC, "a:b") == {"Authorization": "Basic YTpi"}
    assert "Credential=AKID/" in shown(Auth.AWS, "AKID:secret")["Authorization"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "puppet"}, "expected one of kubernetes"),
        ({"url": "ftp://x"}, "expected http"),
        ({"auth": Auth.NONE}, "auth none and no file"),
        ({"auth": Auth.AWS}, "region goes with auth aws"),
    ],
)
def test_an_owners_settings_are_checked(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)
    with pytest.raises(ValueError, match="two have one name"):
        GateConfig(signing_key_file="k", owners=[config(), config()])
