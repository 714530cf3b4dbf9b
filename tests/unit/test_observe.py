"""A worker's /metrics, /healthz and /readyz: reasons, tokens, and no way to listen unprotected by accident."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from ingest.contract.names import EDGE_DEVICES
from ingest.runtime.addresses import is_loopback
from ingest.runtime.health import Health
from ingest.runtime.observe import ListenError, ObserveConfig, ObserveServer, listen
from ingest.runtime.secrets import SecretError, write_secret
from ingest.runtime.telemetry import Telemetry
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def observed(config: ObserveConfig, health: Health | None = None) -> AsyncIterator[ObserveServer]:
    telemetry = Telemetry("test")
    telemetry.gauge(EDGE_DEVICES, 7, state="online")
    server = ObserveServer(config, health=health or Health(), telemetry=telemetry)
    run = asyncio.create_task(server.run())
    await server.started.wait()
    try:
        yield server
    finally:
        server.drain()
        await asyncio.wait_for(run, 10)
        telemetry.close()


async def get(server: ObserveServer, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60.0, **options) as client:
        return await client.request(method, path)


async def test_metrics_health_and_readiness_are_answered_on_a_free_port() -> None:
    async with observed(ObserveConfig()) as server:
        assert server.address.startswith("http://127.0.0.1:")
        metrics = await get(server, "/metrics")
        assert 'tidegate_edge_devices{state="online"} 7.0' in metrics.text
        assert (await get(server, "/healthz")).status_code == 200
        ready = await get(server, "/readyz?verbose=1")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": {}})


async def test_readiness_says_why_not() -> None:
    health = Health()
    health.waiting("edge.forward", "log: no broker answers")
    async with observed(ObserveConfig(), health) as server:
        answer = await get(server, "/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "reasons": {"edge.forward": "log: no broker answers"}}
        health.ready("edge.forward")
        assert (await get(server, "/readyz")).status_code == 200


async def test_openmetrics_where_it_is_asked_for() -> None:
    async with observed(ObserveConfig()) as server:
        answer = await get(server, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")


async def test_other_paths_and_methods_are_refused() -> None:
    async with observed(ObserveConfig()) as server:
        assert (await get(server, "/")).status_code == 404
        posted = await get(server, "/metrics", "POST")
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
        head = await get(server, "/healthz", "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def test_a_token_guards_metrics_and_reasons(tmp_path: Path) -> None:
    write_secret(tmp_path / "token", b"open sesame\n")
    health = Health()
    health.waiting("edge", "secret detail")
    async with observed(ObserveConfig(token_file=str(tmp_path / "token")), health) as server:
        assert (await get(server, "/metrics")).status_code == 401
        assert (await get(server, "/metrics", headers={"Authorization": "Bearer open"})).status_code == 401
        hidden = await get(server, "/readyz")
        assert (hidden.status_code, hidden.json()) == (503, {"ready": False})
        told = await get(server, "/readyz", headers={"Authorization": "Bearer open sesame"})
        assert told.json()["reasons"] == {"edge": "secret detail"}
        assert (await get(server, "/metrics", headers={"Authorization": "Bearer open sesame"})).status_code == 200
        assert (await get(server, "/healthz")).status_code == 200


async def test_noise_and_endless_requests_hurt_nobody() -> None:
    async with observed(ObserveConfig()) as server:
        port = httpx.URL(server.address).port
        for noise in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"x" * 40_000, b"GET /metrics HTTP/1.1\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(noise)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 20)
            writer.close()
        assert (await get(server, "/healthz")).status_code == 200


async def test_no_port_means_no_listener() -> None:
    async with observed(ObserveConfig(port=None)) as server:
        assert server.address == ""


async def test_tls_where_certificates_are_given(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    (tmp_path / "server.key").chmod(0o600)
    config = ObserveConfig(tls_certificate=files.server_cert, tls_key=files.server_key)
    trusted = ssl.create_default_context(cafile=files.ca)
    async with observed(config) as server:
        assert server.address.startswith("https://")
        assert (await get(server, "/healthz", verify=trusted)).status_code == 200


@pytest.mark.parametrize(
    "config",
    [
        ObserveConfig(host="0.0.0.0"),  # noqa: S104 - what must be refused
        ObserveConfig(host="::"),
        ObserveConfig(host="gateway.example", port=9464),
        ObserveConfig(host="192.0.2.1", token_file="/nowhere"),
    ],
)
def test_others_reach_it_only_with_tls_and_token_or_when_asked(config: ObserveConfig) -> None:
    with pytest.raises(ListenError, match="reachable by others: set tls_certificate, tls_key and token_file"):
        ObserveServer(config, health=Health(), telemetry=Telemetry("test"))
    asked = msgspec.structs.replace(config, plaintext_beyond_loopback=True, token_file="")
    ObserveServer(asked, health=Health(), telemetry=Telemetry("test"))


def test_what_listens_names_its_protocol_so_that_answers_are_not_held_back() -> None:
    with listen("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_half_a_key_pair_or_one_that_others_read_is_refused(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    with pytest.raises(ListenError, match="needs both"):
        ObserveServer(ObserveConfig(tls_certificate=files.server_cert), health=Health(), telemetry=Telemetry("test"))
    (tmp_path / "server.key").chmod(0o644)
    both = ObserveConfig(tls_certificate=files.server_cert, tls_key=files.server_key)
    with pytest.raises(SecretError, match="chmod 600"):
        ObserveServer(both, health=Health(), telemetry=Telemetry("test"))


async def test_a_taken_port_and_a_foreign_address_are_said_clearly() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        server = ObserveServer(ObserveConfig(port=port), health=Health(), telemetry=Telemetry("test"))
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use; choose another"):
            await server.run()
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.1", False), ("host.example", False)],  # noqa: S104 - tested
)  # fmt: skip
def test_what_counts_as_loopback(host: str, expected: bool) -> None:  # noqa: FBT001 - a parametrised expectation
    assert is_loopback(host) is expected
