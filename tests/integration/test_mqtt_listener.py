"""The embedded listener against real paho-mqtt clients, in both versions: acknowledgements, commands, wills, passwords, TLS."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.subscribe import Subscribe
from edge_aggregator.receive.mqtt.wire import Version
from edge_aggregator.receive.port import Message
from ingest.runtime.clock import ManualClock
from tests.mqtt_devices import OWN, Device, both, hello, listening, paho
from tests.mqtt_intake import HeldIntake, until
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from pathlib import Path


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
