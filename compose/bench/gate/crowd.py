"""A crowd of devices over one connection, a process of its own: `python -m compose.bench.gate.crowd PLAN`.

It answers each command with `done` as soon as it comes. A line `introduce` on its standard input has every device say that it is
online; after a line with a number it says when (monotonic s) the last of so many further commands came. After `hold` and a number it
answers none of them before that.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from typing import TYPE_CHECKING, cast

import msgspec

from edge_aggregator.receive.mqtt.connect import Connect
from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.scan import Scanner
from edge_aggregator.receive.mqtt.subscribe import Subscribe
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Kind, Version, kind_of
from ingest.contract.commands import SignedCommand
from ingest.contract.topics import device_topic, read_device_topic

if TYPE_CHECKING:
    from edge_aggregator.receive.port import Message

_MOST_PACKET = 1024 * 1024
_ENVELOPES = msgspec.json.Decoder(SignedCommand)


class CrowdPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices there are, and where their broker is."""

    site: str
    devices: int
    port: int
    username: str
    password: str


class _Named(msgspec.Struct):
    command: str


_NAMES = msgspec.json.Decoder(_Named)


def device_name(number: int) -> str:
    """What the devices of a crowd are called."""
    return f"device-{number}"


class Crowd(asyncio.Protocol):
    """Speaks MQTT 3.1.1; `wanted` commands from now on are counted, each once."""

    def __init__(self, plan: CrowdPlan) -> None:
        self._plan = plan
        self._scanner = Scanner(Version.V311, TopicCache(), max_packet_bytes=_MOST_PACKET)
        self._transport: asyncio.Transport | None = None
        self._seen: set[str] = set()
        self._packet_id = 0
        self.subscribed, self.complete = asyncio.Event(), asyncio.Event()
        self.wanted, self.last_at = 0, 0.0
        self.held: list[tuple[str, str]] | None = None
        """Devices and commands still to be answered; None when they are answered at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect, subscribe, and say of each device that it is online."""
        self._transport = cast("asyncio.Transport", transport)
        plan = self._plan
        hello = Connect(
            version=Version.V311,
            client_id="crowd",
            keepalive_s=0,
            username=plan.username,
            password=plan.password.encode(),
        )
        self._write(hello.encode())
        self._write(Subscribe(1, ((device_topic(plan.site, "+", "command"), 1),)).encode(Version.V311))

    def introduce(self) -> None:
        """Every device is online, with a firmware."""
        for number in range(self._plan.devices):
            self._publish(device_name(number), "state", b'{"state": "online", "firmware": "2"}')

    def data_received(self, data: bytes) -> None:
        """Acknowledge and answer what came."""
        read = self._scanner.feed(data)
        if read.error:
            raise read.error
        if any(kind_of(head) is Kind.SUBACK for head, _ in read.control):
            self.subscribed.set()
        self._write(bytes(read.acks))
        for message in read.messages:
            self._command(message)

    def _command(self, message: Message) -> None:
        place = read_device_topic(message.topic)
        signed = base64.b64decode(_ENVELOPES.decode(message.payload).payload)
        name = _NAMES.decode(signed).command
        if name not in self._seen:
            self._seen.add(name)
            self.last_at = time.monotonic()
            self.wanted -= 1
            if self.wanted <= 0:
                self.complete.set()
        device = place.device if place else ""
        if self.held is None:
            self._answer(device, name)
        else:
            self.held.append((device, name))

    def release(self) -> None:
        """Answer what was held, and what comes from now on at once."""
        held, self.held = self.held or [], None
        for device, name in held:
            self._answer(device, name)

    def _answer(self, device: str, name: str) -> None:
        self._publish(device, "ack", msgspec.json.encode({"command": name, "status": "done"}))

    def _publish(self, device: str, channel: str, payload: bytes) -> None:
        self._packet_id = self._packet_id % 65_535 + 1
        topic = device_topic(self._plan.site, device, channel)
        self._write(Publish(topic=topic, payload=payload, qos=1, packet_id=self._packet_id).encode(Version.V311))

    def _write(self, data: bytes) -> None:
        if data and self._transport:
            self._transport.write(data)


async def main(plan: CrowdPlan) -> None:
    """Until the standard input ends."""
    loop = asyncio.get_running_loop()
    _, crowd = await loop.create_connection(lambda: Crowd(plan), "127.0.0.1", plan.port)
    await crowd.subscribed.wait()
    _say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "introduce":
            crowd.introduce()
            continue
        if line.startswith("hold"):
            crowd.held = []
        crowd.wanted = int(line.split()[-1])
        crowd.complete.clear()
        _say({"counting": crowd.wanted})
        await crowd.complete.wait()
        _say({"last_at": crowd.last_at})
        crowd.release()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=CrowdPlan)))
