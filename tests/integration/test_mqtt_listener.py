"""The embedded listener against real paho-mqtt clients, in both versions, and against raw hostile sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_aggregator.receive.config import ListenerConfig
from edge_aggregator.receive.mqtt.connect import Connect, Will
from edge_aggregator.receive.mqtt.device_link import MOST_UNCOMMITTED_BYTES
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.receive.mqtt.publish import PINGREQ, Publish
from edge_aggregator.receive.mqtt.subscribe import Subscribe
from edge_aggregator.receive.mqtt.wire import Version
from edge_aggregator.receive.port import Message
from ingest.runtime.clock import ManualClock, SystemClock
from tests.mqtt_intake import DEADLINE_S, HeldIntake, until
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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


@both
async def test_qos_1_is_acknowledged_after_the_commit_and_not_before(version: MQTTProtocolVersion) -> None:
    intake = HeldIntake()
    async with listening(intake) as listener, paho(listener, version) as device:
        sent = [device.client.publish(f"{OWN}/telemetry", f"{n}", qos=1).mid for n in range(5)]
        await until(lambda: len(intake.messages()) == 5)
        assert device.published == []
        intake.commit()
        await until(lambda: device.published == sent)
    assert intake.messages() == [Message(f"{OWN}/telemetry", b"%d" % n, False) for n in range(5)]
    assert {arrival.receiver for arrival in intake.arrivals} == {"listener"}


@both
async def test_qos_0_and_retained_pass_as_live(version: MQTTProtocolVersion) -> None:
    intake = HeldIntake()
    async with listening(intake) as listener, paho(listener, version) as device:
        device.client.publish(f"{OWN}/state", b"{}", qos=0, retain=True)
        await until(intake.messages)
    assert intake.messages() == [Message(f"{OWN}/state", b"{}", False)]


@both
async def test_ten_megabytes_are_counted_acknowledged_and_cost_the_stream_nothing(version: MQTTProtocolVersion) -> None:
    intake = HeldIntake(commits=True)
    async with listening(intake) as listener, paho(listener, version) as device:
        device.client.publish(f"{OWN}/telemetry", bytes(10_000_000), qos=1)
        device.client.publish(f"{OWN}/telemetry", b"1", qos=1)
        await until(lambda: len(device.published) == 2)
        assert listener.counters["oversized"] == 1
    assert [topic for arrival in intake.arrivals for topic in arrival.oversized] == [f"{OWN}/telemetry"]
    assert intake.payloads() == [b"1"]
    assert max(arrival.size for arrival in intake.arrivals) < 100_000


@both
async def test_a_command_reaches_its_device_and_comes_back_acknowledged(version: MQTTProtocolVersion) -> None:
    async with listening(HeldIntake()) as listener, paho(listener, version) as device:
        assert not await listener.publish(f"{OWN}/command", b"early")
        device.client.subscribe([(f"{OWN}/command", 1), ("tidegate/v1/s/pump-2/command", 1), ("#", 1)])
        await until(lambda: device.subscribed)
        assert [code < 0x80 for code in device.subscribed[0]] == [True, False, False]
        assert await listener.publish(f"{OWN}/command", b"go back")
        assert not await listener.publish("tidegate/v1/s/pump-2/command", b"nobody is there")
        await until(lambda: device.commands)
        assert device.commands == [(f"{OWN}/command", b"go back", 1, False)]
        assert listener.counters["commands_acknowledged"] == 1
        assert listener.counters["commands_undeliverable"] == 2


async def test_a_command_that_is_not_acknowledged_in_time_or_loses_its_device_is_not_delivered() -> None:
    clock = ManualClock()
    async with listening(HeldIntake(), clock) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(hello() + Subscribe(1, ((f"{OWN}/command", 1),)).encode(Version.V311))
        await reader.readexactly(4 + 5)
        waiting = asyncio.create_task(listener.publish(f"{OWN}/command", b"go"))
        await reader.readexactly(
            len(Publish(topic=f"{OWN}/command", payload=b"go", qos=1, packet_id=1).encode(Version.V311))
        )
        clock.advance(9)
        assert not waiting.done()
        clock.advance(2)
        assert not await waiting
        second = asyncio.create_task(listener.publish(f"{OWN}/command", b"go"))
        await reader.readexactly(5)
        writer.close()
        assert not await second


@both
async def test_the_will_is_offered_when_a_device_vanishes_and_not_when_it_says_farewell(
    version: MQTTProtocolVersion,
) -> None:
    intake = HeldIntake()
    async with listening(intake) as listener:
        for farewell in (True, False):
            device = Device(version)
            device.client.will_set(f"{OWN}/state", b"lost", qos=1, retain=True)
            assert listener.port is not None
            device.connect(listener.port)
            await until(lambda device=device: device.connected)
            device.client.publish(f"{OWN}/telemetry", b"1", qos=0)
            await until(lambda farewell=farewell: intake.payloads().count(b"1") == 2 - farewell)
            if farewell:
                await device.stop()
                await until(lambda: listener.counters["farewell"] == 1)
                assert intake.payloads() == [b"1"]
            else:
                device.vanish()
                await until(lambda: b"lost" in intake.payloads())
                await device.stop()
    assert intake.messages()[2] == Message(f"{OWN}/state", b"lost", False)


async def test_the_will_is_offered_after_one_and_a_half_keepalives_of_silence() -> None:
    intake, clock = HeldIntake(), ManualClock()
    async with listening(intake, clock) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(hello(will=True))
        await reader.readexactly(4)
        for _ in range(3):
            await until(lambda: clock._sleepers)
            clock.advance(29)
        await asyncio.sleep(0)
        assert not intake.messages()
        await until(lambda: clock._sleepers)
        clock.advance(5)
        await until(intake.messages)
        assert await reader.read() == b""
        writer.close()
        assert listener.counters["silent"] == 1
    assert intake.payloads() == [b"lost"]


@both
async def test_a_device_that_connects_anew_takes_over_from_its_own_older_self(version: MQTTProtocolVersion) -> None:
    intake = HeldIntake()
    async with listening(intake) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(hello(will=True))
        await reader.readexactly(4)
        async with paho(listener, version) as device:
            device.client.publish(f"{OWN}/state", b"online", qos=0)
            assert await reader.read() == b""
            await until(lambda: len(intake.messages()) == 2)
            device.client.subscribe(f"{OWN}/command", qos=1)
            await until(lambda: device.subscribed)
            await until(lambda: listener.counters["taken_over"] == 1)
            assert await listener.publish(f"{OWN}/command", b"go")
        writer.close()
    assert intake.payloads() == [b"lost", b"online"]


@both
async def test_a_wrong_password_is_refused_and_another_devices_topic_ends_the_connection(
    version: MQTTProtocolVersion,
) -> None:
    intake = HeldIntake()
    async with listening(intake) as listener:
        async with paho(listener, version, password="wrong") as intruder:
            assert intruder.connected[0] in ("Bad user name or password", "Bad username or password", "Not authorized")
        async with paho(listener, version) as device:
            device.client.publish("tidegate/v1/s/pump-2/telemetry", b"forged", qos=1)
            await until(lambda: device.disconnected)
            await until(lambda: listener.counters["foreign_topic"])
        assert listener.counters["bad_credentials"] >= 1
    assert b"forged" not in intake.payloads()


async def test_an_mqtt_5_client_may_use_every_property() -> None:
    intake = HeldIntake(commits=True)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("trace", "x" * 200), ("b", "c")]
    properties.ContentType = "application/json"
    properties.ResponseTopic = "a/b"
    properties.CorrelationData = b"\0\1"
    properties.MessageExpiryInterval = 60
    properties.PayloadFormatIndicator = 1
    async with (
        listening(intake, credentials=None) as listener,
        paho(listener, MQTTProtocolVersion.MQTTv5, "pump-7", None) as device,
    ):
        device.client.publish("any/topic", b"{}", qos=1, properties=properties)
        await until(lambda: device.published)
    assert intake.messages() == [Message("any/topic", b"{}", False)]


async def test_reads_pause_while_the_intake_has_no_room() -> None:
    intake, count = HeldIntake(commits=True), 8000
    async with listening(intake) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(hello())
        await reader.readexactly(4)
        intake.fill()
        writer.write(Publish(topic=f"{OWN}/telemetry", payload=bytes(1000)).encode(Version.V311) * count)
        await until(intake.messages)
        held = sum(arrival.size for arrival in intake.arrivals)
        assert held < 64 * 1024 * 1.5
        await asyncio.sleep(0.05)
        assert sum(arrival.size for arrival in intake.arrivals) == held
        intake.empty()
        await until(lambda: len(intake.messages()) == count)
        writer.close()


async def test_a_connection_that_floods_takes_its_share_of_the_intake_and_no_more() -> None:
    intake = HeldIntake()
    flood = [Publish(topic=f"{OWN}/telemetry", payload=b"x" * 60_000, qos=1, packet_id=n + 1) for n in range(60)]
    async with listening(intake, credentials=None) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(Connect(version=Version.V311, client_id="pump-1").encode())
        writer.write(b"".join(one.encode(Version.V311) for one in flood))
        await until(lambda: sum(arrival.size for arrival in intake.uncommitted) > MOST_UNCOMMITTED_BYTES)
        async with paho(listener, MQTTProtocolVersion.MQTTv311, "pump-2", None) as other:
            for number in range(20):
                other.client.publish("tidegate/v1/s/pump-2/telemetry", f"{number}", qos=1)
            await until(lambda: sum(len(payload) < 60_000 for payload in intake.payloads()) == 20)
        flooded = [payload for payload in intake.payloads() if len(payload) == 60_000]
        assert len(flooded) <= (MOST_UNCOMMITTED_BYTES + 200_000) // 60_000
        while len(flooded) < len(flood):
            intake.commit()
            await asyncio.sleep(0.01)
            flooded = [payload for payload in intake.payloads() if len(payload) == 60_000]
        writer.close()
        assert await reader.read(4) == b"\x20\x02\x00\x00"


async def test_a_device_that_never_reads_its_answers_is_not_read_either() -> None:
    clock = ManualClock()
    async with listening(HeldIntake(), clock) as listener:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", listener.port))
        narrow.setblocking(False)
        _, writer = await asyncio.open_connection(sock=narrow, limit=1)
        writer.write(hello())
        await until(lambda: listener._links)
        link = next(iter(listener._links))
        assert link._transport is not None
        link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.write(PINGREQ * 300_000)
        await until(lambda: link._gate and link._gate.paused_since is not None)
        assert link._transport.get_write_buffer_size() < 256 * 1024
        for _ in range(2):
            await until(lambda: clock._sleepers)
            clock.advance(31)
        await until(lambda: listener.counters["silent"] == 1)
        writer.transport.abort()


@pytest.mark.parametrize(
    "chunk", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff", b"\x00" * 100, b"\x30\x05hello"]
)
async def test_hostile_bytes_close_that_one_connection(chunk: bytes) -> None:
    intake = HeldIntake(commits=True)
    async with listening(intake) as listener, paho(listener, MQTTProtocolVersion.MQTTv5) as device:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(chunk)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        device.client.publish(f"{OWN}/telemetry", b"1", qos=1)
        await until(lambda: device.published)
        assert listener.counters["malformed"] == 1
        assert device.disconnected == []


async def test_there_are_at_most_so_many_connections() -> None:
    async with listening(HeldIntake(), max_connections=1) as listener:
        async with paho(listener, MQTTProtocolVersion.MQTTv311):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert listener.counters["too_many_connections"] == 1
        async with paho(listener, MQTTProtocolVersion.MQTTv311, "pump-2", "two") as second:
            assert second.connected[0] == "Success"


async def test_devices_with_certificates_connect_over_tls(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    intake = HeldIntake(commits=True)
    async with listening(intake, tls=files.server) as listener:
        assert listener.port is not None
        device = Device(MQTTProtocolVersion.MQTTv5)
        device.client.tls_set(files.ca, certfile=files.client_cert, keyfile=files.client_key)
        device.connect(listener.port)
        await until(lambda: device.connected)
        device.client.publish(f"{OWN}/telemetry", bytes(200_000), qos=1)
        await until(lambda: device.published)
        await device.stop()
        without_certificate = ssl.create_default_context(cafile=files.ca)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=without_certificate)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(4)
        writer.transport.abort()
    assert intake.payloads() == [bytes(200_000)]


async def test_it_says_what_it_is_doing_and_stops_without_declaring_anyone_lost() -> None:
    intake, clock = HeldIntake(), ManualClock()
    async with listening(intake, clock) as listener:
        assert listener.state() == "connected"
        assert listener.connected_since() == 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(hello(will=True))
        await reader.readexactly(4)
        intake.fill()
        for _ in range(3):
            await until(lambda: clock._sleepers)
            clock.advance(3)
            await asyncio.sleep(0.05)
        assert listener.state() == "reading is paused: the intake has no room"
        assert listener.connected_since() is None
        intake.empty()
        await until(lambda: clock._sleepers)
        clock.advance(1)
        await until(lambda: listener.connected_since() is not None)
    assert listener.state() == "stopped"
    assert await reader.read() == b""
    writer.close()
    assert not intake.messages()


async def test_a_port_that_is_taken_is_waited_for() -> None:
    async with listening(HeldIntake()) as first:
        clock = ManualClock()
        second = MqttListener(ListenerConfig(site="s", port=first.port or 0), clock)
        running = asyncio.create_task(second.run(HeldIntake()))
        await until(lambda: "cannot listen on 127.0.0.1" in second.state())
        assert second.connected_since() is None
    await until(lambda: clock._sleepers)
    clock.advance(11)
    await until(lambda: second.state() == "connected")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def hello(*, will: bool = False) -> bytes:
    return Connect(
        version=Version.V311,
        client_id="pump-1",
        keepalive_s=60,
        username="pump-1",
        password=b"one",
        will=Will(f"{OWN}/state", b"lost") if will else None,
    ).encode()
