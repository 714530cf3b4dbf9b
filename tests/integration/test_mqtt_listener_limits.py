"""The embedded listener against floods, devices that do not read, hostile bytes, and an address that is taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import MQTTProtocolVersion

from edge_aggregator.receive.config import ListenerConfig
from edge_aggregator.receive.mqtt.connect import Connect
from edge_aggregator.receive.mqtt.device_link import MOST_UNCOMMITTED_BYTES
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.receive.mqtt.publish import PINGREQ, Publish
from edge_aggregator.receive.mqtt.wire import Version
from ingest.runtime.clock import ManualClock
from tests.mqtt_devices import OWN, hello, listening, paho
from tests.mqtt_intake import DEADLINE_S, HeldIntake, until

if TYPE_CHECKING:
    pass


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


@pytest.mark.parametrize("rounds", range(6))
async def test_a_connection_that_was_on_its_way_when_the_listener_stopped_is_closed(rounds: int) -> None:
    with socket.socket() as device:
        async with listening(HeldIntake()) as listener:
            device.connect(("127.0.0.1", listener.port))
            for _ in range(rounds):
                await asyncio.sleep(0)
        device.setblocking(False)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                assert await asyncio.get_running_loop().sock_recv(device, 1) == b""


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
