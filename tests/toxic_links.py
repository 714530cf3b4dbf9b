"""Bad links: toxiproxy between a gateway and its servers, and a Kafka that is reached through it alone."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from compose.stack.errors import NotReady
from compose.stack.folder import StackFolder
from compose.stack.http_probe import answered
from compose.stack.kafka import Kafka
from compose.stack.launcher import start, wait_until_ready
from compose.stack.obtain import Program
from compose.stack.ports import LOOPBACK, free_port
from compose.stack.process import end, find, launch
from compose.stack.stack import obtain_programs
from tests.mqtt_intake import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from compose.stack.endpoints import KafkaEndpoint


class Toxic(NamedTuple):
    """One of toxiproxy's toxics; `streams`: towards the server (upstream), from it (downstream)."""

    kind: str
    streams: tuple[str, ...] = ("upstream", "downstream")
    attributes: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple's default, never changed


TOXICS = {
    "slow": Toxic("latency", ("downstream",), {"latency": 300, "jitter": 200}),
    "narrow": Toxic("bandwidth", attributes={"rate": 8}),
    "reset": Toxic("reset_peer", ("downstream",), {"timeout": 20}),
    "half-open": Toxic("timeout", attributes={"timeout": 0}),
    "sliced": Toxic("slicer", attributes={"average_size": 40, "size_variation": 20, "delay": 2000}),
    "short": Toxic("limit_data", ("upstream",), {"bytes": 3000}),
}


class Link:
    """One connection's way; `port` is where it is entered."""

    def __init__(self, client: httpx.AsyncClient, name: str, port: int) -> None:
        self._client, self._name, self.port = client, name, port

    async def poison(self, toxic: Toxic) -> None:
        """Make it bad, beside whatever is bad already."""
        for stream in toxic.streams:
            document = {"type": toxic.kind, "stream": stream, "attributes": toxic.attributes}
            (await self._client.post(f"/proxies/{self._name}/toxics", json=document)).raise_for_status()

    async def cut(self) -> None:
        """Break what is connected, refuse what wants to."""
        (await self._client.post(f"/proxies/{self._name}", json={"enabled": False})).raise_for_status()

    async def heal(self) -> None:
        """Make it good again. What is half-open stays so: only its ends can notice."""
        found = (await self._client.get(f"/proxies/{self._name}")).json()
        for toxic in found["toxics"]:
            await self._client.delete(f"/proxies/{self._name}/toxics/{toxic['name']}")
        (await self._client.post(f"/proxies/{self._name}", json={"enabled": True})).raise_for_status()


class Toxiproxy:
    """The process's API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def link(self, name: str, upstream: int, port: int | None = None) -> Link:
        """A way from a free port to a server's."""
        entrance = port or free_port()
        document = {"name": name, "listen": f"{LOOPBACK}:{entrance}", "upstream": f"{LOOPBACK}:{upstream}"}
        (await self._client.post("/proxies", json=document)).raise_for_status()
        return Link(self._client, name, entrance)


@asynccontextmanager
async def toxiproxy(folder: Path) -> AsyncIterator[Toxiproxy]:
    """Runs it for one test."""
    program = obtain_programs(["toxiproxy"], lambda _: None)["toxiproxy"]
    assert program is not None
    port = free_port()
    command = [str(program.path), "-host", LOOPBACK, "-port", str(port)]
    process = launch(command, home=folder, log=folder / "toxiproxy.log", env=os.environ)
    url = f"http://{LOOPBACK}:{port}"
    try:
        await until(lambda: find(process) is None or _answers(url))
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0) as client:
            yield Toxiproxy(client)
    finally:
        end(process, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        answered(f"{url}/version")
    except NotReady:
        return False
    return True


class _BehindLink(Kafka):
    """Listens at `inner` as well, and tells whoever comes that way to come by `outer`."""

    def __init__(self, inner: int, outer: int) -> None:
        self._inner, self._outer = inner, outer

    def prepare(self, program: Program, endpoint: KafkaEndpoint, folder: Path, env: Mapping[str, str]) -> list[str]:
        command = super().prepare(program, endpoint, folder, env)
        path = folder / "server.properties"
        lines = [self._with_link(line) for line in path.read_text().splitlines()]
        jaas = next(line for line in lines if line.startswith("listener.name.client."))
        path.write_text("\n".join([*lines, jaas.replace(".client.", ".link.", 1)]) + "\n")
        return command

    def _with_link(self, line: str) -> str:
        more = {
            "listeners": f"LINK://{LOOPBACK}:{self._inner}",
            "advertised.listeners": f"LINK://{LOOPBACK}:{self._outer}",
            "listener.security.protocol.map": "LINK:SASL_PLAINTEXT",
        }.get(line.partition("=")[0])
        return f"{line},{more}" if more else line


class DistantKafka:
    """A broker of its own: `endpoint` for those who are near; from afar it is reached at `inner`, by way of `outer`."""

    def __init__(self, folder: Path) -> None:
        self.inner, self.outer = free_port(), free_port()
        self._server = _BehindLink(self.inner, self.outer)
        self._folder = StackFolder(folder).made()
        self._program = self._server.obtain(os.environ, lambda _: None)
        self.endpoint = self._server.planned(free_port())

    def start(self) -> None:
        start(self._server, self._program, self.endpoint, self._folder, os.environ)
        wait_until_ready(self._server, self.endpoint, self._folder)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        started = self._folder.started(self._server.name)
        end(started.process if started else None, how)


@contextmanager
def distant_kafka(folder: Path) -> Iterator[DistantKafka]:
    """Runs it for one test."""
    kafka = DistantKafka(folder)
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.end()


def settings(endpoint: KafkaEndpoint, folder: Path, port: int | None = None) -> dict[str, Any]:
    """KafkaConfig's fields, by way of `port` if given."""
    (folder / "kafka-password").write_text(endpoint.password)
    return {
        "bootstrap": f"{LOOPBACK}:{port}" if port else endpoint.bootstrap,
        "username": endpoint.username,
        "password_file": str(folder / "kafka-password"),
        "mechanism": endpoint.mechanism,
    }
