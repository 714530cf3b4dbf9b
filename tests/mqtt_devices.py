"""A listener of its own for a test, and real paho clients as its devices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion

from edge_aggregator.receive.config import ListenerConfig
from edge_aggregator.receive.mqtt.connect import Connect, Will
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.receive.mqtt.wire import Version
from ingest.runtime.clock import SystemClock
from tests.mqtt_intake import DEADLINE_S, HeldIntake, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ingest.runtime.clock import Clock

PASSWORDS = {"pump-1": "one", "pump-2": "two"}


OWN = "tidegate/v1/s/pump-1"


both = pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])


@asynccontextmanager
async def listening(intake: HeldIntake, clock: Clock | None = None, **settings: Any) -> AsyncIterator[MqttListener]:
    credentials = settings.pop("credentials", PASSWORDS)
    config = ListenerConfig(site="s", port=0, **settings)
    listener = MqttListener(config, clock or SystemClock(), credentials=credentials)
    running = asyncio.create_task(listener.run(intake))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await listener.listening.wait()
        yield listener
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Device:
    """A real paho client on its own thread; what it saw is read from the test."""

    def __init__(
        self, version: MQTTProtocolVersion, name: str = "pump-1", password: str | None = PASSWORDS["pump-1"]
    ) -> None:
        self.connected: list[str] = []
        self.disconnected: list[str] = []
        self.subscribed: list[list[int]] = []
        self.published: list[int] = []
        self.commands: list[tuple[str, bytes, int, bool]] = []
        self.client = Client(CallbackAPIVersion.VERSION2, name, protocol=version, manual_ack=False)
        if password is not None:
            self.client.username_pw_set(name, password)
        self.client.on_connect = lambda _c, _d, _f, reason, _p: self.connected.append(str(reason))
        self.client.on_disconnect = lambda _c, _d, _f, reason, _p: self.disconnected.append(str(reason))
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self.subscribed.append([c.value for c in codes])
        self.client.on_publish = lambda _c, _d, mid, _r, _p: self.published.append(mid)
        self.client.on_message = self._on_message

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.commands.append((message.topic, message.payload, message.qos, message.retain))

    def connect(self, port: int, keepalive: int = 60) -> None:
        self.client.connect_async("127.0.0.1", port, keepalive)
        self.client.loop_start()

    def vanish(self) -> None:
        """Breaks the connection without a farewell."""
        connection = self.client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)

    async def stop(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@asynccontextmanager
async def paho(
    listener: MqttListener,
    version: MQTTProtocolVersion,
    name: str = "pump-1",
    password: str | None = PASSWORDS["pump-1"],
) -> AsyncIterator[Device]:
    device = Device(version, name, password)
    assert listener.port is not None
    device.connect(listener.port)
    try:
        await until(lambda: device.connected)
        yield device
    finally:
        await device.stop()


def hello(*, will: bool = False) -> bytes:
    return Connect(
        version=Version.V311,
        client_id="pump-1",
        keepalive_s=60,
        username="pump-1",
        password=b"one",
        will=Will(f"{OWN}/state", b"lost") if will else None,
    ).encode()
