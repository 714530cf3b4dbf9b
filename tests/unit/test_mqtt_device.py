"""The listener's state machine for one device, driven by hand."""

from __future__ import annotations

import pytest

from edge_aggregator.receive.mqtt.admission import Door
from edge_aggregator.receive.mqtt.connect import Connack, Connect, Disconnect, Will
from edge_aggregator.receive.mqtt.credentials import Credentials
from edge_aggregator.receive.mqtt.device import MOST_COMMANDS, DeviceSession
from edge_aggregator.receive.mqtt.ending import Cause
from edge_aggregator.receive.mqtt.properties import Property
from edge_aggregator.receive.mqtt.publish import PINGREQ, PINGRESP, Puback, Publish
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe, Unsuback, Unsubscribe
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Version
from edge_aggregator.receive.port import Message
from tests.mqtt_packets import body, said

OPEN = Door("s", None)
GUARDED = Door("s", Credentials({"pump-1": "one", "pump-2": "two"}))
OWN = "tidegate/v1/s/pump-1"
both = pytest.mark.parametrize("version", list(Version))


def device(door: Door = OPEN) -> DeviceSession:
    return DeviceSession(door, TopicCache(), max_packet_bytes=2048, connect_timeout_s=10, now=0.0)


def hello(version: Version, **changes: object) -> bytes:
    fields = {"client_id": "pump-1", "username": "pump-1", "password": b"one", "keepalive_s": 60} | changes
    return Connect(version=version, **fields).encode()  # type: ignore[arg-type]  # the test names the fields


def connected(version: Version, door: Door = GUARDED, **changes: object) -> DeviceSession:
    session = device(door)
    session.received(hello(version, **changes), 0.0)
    assert Connack.decode(body(said(session))).reason == 0
    assert session.device == "pump-1"
    return session


def cause(session: DeviceSession) -> Cause | None:
    return session.ending.cause if session.ending else None


@both
def test_what_follows_connect_in_the_same_read_is_taken(version: Version) -> None:
    session = device(GUARDED)
    chunk = hello(version) + Publish(topic=f"{OWN}/telemetry", payload=b"1", qos=1, packet_id=3).encode(version)
    assert not session.received(chunk[:7], 0.0).messages
    read = session.received(chunk[7:], 0.0)
    assert read.messages == [Message(f"{OWN}/telemetry", b"1", False)]
    assert bytes(read.acks) == b"@\x02\0\x03"


def test_mqtt_5_is_told_what_is_not_offered() -> None:
    session = device()
    session.received(hello(Version.V5), 0.0)
    assert Connack.decode(body(said(session))).properties == {
        Property.SESSION_EXPIRY_INTERVAL: 0,
        Property.MAXIMUM_QOS: 1,
        Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
        Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
    }


@pytest.mark.parametrize(
    ("changes", "expected", "codes"),
    [
        ({"password": b"two"}, Cause.BAD_CREDENTIALS, (4, 0x86)),
        ({"username": None, "password": None}, Cause.BAD_CREDENTIALS, (4, 0x86)),
        ({"client_id": "pump-9", "username": "pump-9"}, Cause.BAD_CREDENTIALS, (4, 0x86)),
        ({"client_id": ""}, Cause.BAD_DEVICE_NAME, (2, 0x85)),
        ({"client_id": "a/b"}, Cause.BAD_DEVICE_NAME, (2, 0x85)),
        ({"will": Will("tidegate/v1/s/pump-2/state", b"lost")}, Cause.FOREIGN_TOPIC, (5, 0x87)),
    ],
)
@both
def test_who_may_not_come_in(
    version: Version, changes: dict[str, object], expected: Cause, codes: tuple[int, int]
) -> None:
    session = device(GUARDED)
    session.received(hello(version, **changes), 0.0)
    assert Connack.decode(body(said(session))).reason == codes[version is Version.V5]
    assert cause(session) is expected
    assert session.device is None
    assert session.will is None


@pytest.mark.parametrize(
    "chunk", [b"GET / HTTP/1.1\r\n\r\n", b"\x30\x03\0\1t", b"\x10\x80\x80\x80\x01", b"\x16\x03\x01"]
)
def test_who_does_not_begin_with_connect_is_hung_up_on(chunk: bytes) -> None:
    session = device()
    session.received(chunk, 0.0)
    assert cause(session) is Cause.MALFORMED


def test_another_version_is_refused_in_a_way_that_it_understands() -> None:
    session = device()
    session.received(b"\x10\x11\0\x06MQIsdp\x03\x02\0\x3c\0\x03dev", 0.0)
    assert said(session) == b"\x20\x02\0\x01"
    assert cause(session) is Cause.UNSUPPORTED_VERSION


@both
@pytest.mark.parametrize("topic", ["tidegate/v1/s/pump-2/telemetry", "tidegate/v1/s/pump-10/telemetry", "other", OWN])
def test_with_credentials_a_device_publishes_beneath_its_own_topics_only(version: Version, topic: str) -> None:
    session = connected(version)
    good = Publish(topic=f"{OWN}/telemetry", payload=b"1", qos=1, packet_id=1).encode(version)
    foreign = Publish(topic=topic, payload=b"2", qos=1, packet_id=2).encode(version)
    read = session.received(good + foreign + good, 0.0)
    assert [message.payload for message in read.messages] == [b"1"]
    assert not read.acks
    assert cause(session) is Cause.FOREIGN_TOPIC
    assert said(session) == (Disconnect(0x87).encode(version) if version is Version.V5 else b"")


@both
def test_with_credentials_an_oversized_message_in_anothers_name_is_not_reported(version: Version) -> None:
    session = connected(version)
    read = session.received(Publish(topic="tidegate/v1/s/pump-2/telemetry", payload=bytes(5000)).encode(version), 0.0)
    assert not read.oversized
    assert cause(session) is Cause.FOREIGN_TOPIC


@both
def test_an_oversized_message_is_reported_and_owed_an_acknowledgement(version: Version) -> None:
    session = connected(version)
    big = Publish(topic=f"{OWN}/telemetry", payload=bytes(5000), qos=1, packet_id=9).encode(version)
    read = session.received(big, 0.0)
    assert (read.oversized, bytes(read.acks)) == ([f"{OWN}/telemetry"], b"@\x02\0\x09")
    assert session.ending is None


@both
def test_without_credentials_any_topic_is_taken(version: Version) -> None:
    session = connected(version, OPEN, username=None, password=None)
    assert session.received(Publish(topic="other", payload=b"1").encode(version), 0.0).messages


@both
def test_what_a_device_wants_retained_is_live(version: Version) -> None:
    session = connected(version)
    read = session.received(Publish(topic=f"{OWN}/state", payload=b"1", retain=True).encode(version), 0.0)
    assert not read.messages[0].retain


@both
def test_only_the_own_command_topic_may_be_subscribed(version: Version) -> None:
    session = connected(version)
    wanted = ((f"{OWN}/command", 2), ("tidegate/v1/s/+/command", 1), ("tidegate/v1/s/pump-2/command", 1), ("#", 0))
    session.received(Subscribe(5, wanted).encode(version), 0.0)
    refused = b"\x87" if version is Version.V5 else b"\x80"
    assert said(session) == Suback(5, b"\1" + 3 * refused).encode(version)
    assert session.command(f"{OWN}/command", b"go") == 1
    session.received(Unsubscribe(6, (f"{OWN}/command",)).encode(version), 0.0)
    assert said(session).endswith(Unsuback(6, b"\0").encode(version))
    assert session.command(f"{OWN}/command", b"go") is None


@both
def test_commands_are_acknowledged_by_identifier_and_bounded_in_number(version: Version) -> None:
    session = connected(version)
    assert session.command(f"{OWN}/command", b"go") is None
    session.received(Subscribe(5, ((f"{OWN}/command", 1),)).encode(version), 0.0)
    said(session)
    identifiers = [session.command(f"{OWN}/command", b"go") for _ in range(MOST_COMMANDS)]
    first = Publish(topic=f"{OWN}/command", payload=b"go", qos=1, packet_id=1).encode(version)
    assert said(session).startswith(first)
    assert session.command(f"{OWN}/command", b"go") is None
    session.received(Puback(3).encode() + Puback(999).encode() + Puback(3).encode(), 0.0)
    assert session.answered == [(3, True)]
    assert session.command(f"{OWN}/command", b"go") not in identifiers


def test_mqtt_5_devices_refuse_commands_and_bound_their_size() -> None:
    limits = {Property.MAXIMUM_PACKET_SIZE: 100, Property.RECEIVE_MAXIMUM: 1}
    session = connected(Version.V5, properties=limits)
    session.received(Subscribe(5, ((f"{OWN}/command", 1),)).encode(Version.V5), 0.0)
    assert session.command(f"{OWN}/command", bytes(100)) is None
    assert session.command(f"{OWN}/command", b"go") is not None
    assert session.command(f"{OWN}/command", b"go") is None
    session.received(Puback(1, 0x87).encode(), 0.0)
    session.received(Puback(2, 0x87).encode(), 0.0)
    assert session.answered
    assert not any(taken for _, taken in session.answered)


@both
def test_a_farewell_discards_the_will_unless_it_asks_for_it(version: Version) -> None:
    will = Will(f"{OWN}/state", b"lost", 1, retain=True)
    session = connected(version, will=will)
    assert session.will == Message(f"{OWN}/state", b"lost", False)
    session.received(Disconnect().encode(version), 0.0)
    assert session.will is None
    assert cause(session) is Cause.FAREWELL
    if version is Version.V5:
        session = connected(version, will=will)
        session.received(Disconnect(4).encode(version), 0.0)
        assert session.will is not None


@both
def test_silence_ends_a_connection_after_one_and_a_half_keepalives(version: Version) -> None:
    session = connected(version)
    session.received(PINGREQ, 50.0)
    assert said(session) == PINGRESP
    session.tick(140.0)
    assert session.ending is None
    session.tick(140.1)
    assert cause(session) is Cause.SILENT


def test_a_connect_that_dribbles_in_is_not_waited_for() -> None:
    session = device()
    for second, byte in enumerate(hello(Version.V311)[:11]):
        session.received(bytes((byte,)), float(second))
        session.tick(float(second))
    assert cause(session) is None
    session.tick(11.0)
    assert cause(session) is Cause.SILENT


@both
@pytest.mark.parametrize(
    "chunk",
    [
        b"\x34\x06\0\1t\0\1x",
        b"\x62\x02\0\1",
        b"\x20\x02\0\0",
        b"\x80\x05\0\1\0\1t",
        b"\x82\x02\0\0",
        b"\xe0\x01\x00\x00",
        b"\xff\xff\xff\xff\xff",
        hello(Version.V311),
    ],
)
def test_hostile_packets_end_the_connection(version: Version, chunk: bytes) -> None:
    session = connected(version)
    session.received(chunk, 0.0)
    assert session.ending is not None
    assert session.ending.cause in (Cause.MALFORMED, Cause.FAREWELL)
