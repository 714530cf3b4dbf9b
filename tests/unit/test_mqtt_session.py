"""The subscriber's state machine, driven by hand: what it says, what it takes, and when it gives up."""

from __future__ import annotations

import pytest

from edge_aggregator.receive.mqtt.connect import Connack, Connect, Disconnect
from edge_aggregator.receive.mqtt.ending import Cause
from edge_aggregator.receive.mqtt.properties import Property
from edge_aggregator.receive.mqtt.publish import PINGREQ, PINGRESP, Publish
from edge_aggregator.receive.mqtt.session import Phase, SubscriberSession, Subscription
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Version
from edge_aggregator.receive.port import Message
from tests.mqtt_packets import body, said

WANTED = Subscription(
    client_id="edge-1",
    topics=("tidegate/v1/s/+/telemetry", "tidegate/v1/s/+/state"),
    keepalive_s=30,
    max_packet_bytes=1024,
    session_expiry_s=3600,
    answer_timeout_s=10,
    username="gateway",
    password=b"secret",
)
both = pytest.mark.parametrize("version", list(Version))


def connecting(version: Version) -> SubscriberSession:
    return SubscriberSession(WANTED, version, TopicCache(), 0.0)


def ready(version: Version, granted: bytes = b"\1\1") -> SubscriberSession:
    session = connecting(version)
    session.received(Connack().encode(version), 0.0)
    session.received(Suback(1, granted).encode(version), 0.0)
    said(session)
    return session


@both
def test_it_asks_for_a_session_that_outlives_the_connection_and_subscribes_with_qos_1(version: Version) -> None:
    session = connecting(version)
    connect = Connect.decode(body(said(session)))
    assert (connect.client_id, connect.clean_start, connect.keepalive_s) == ("edge-1", False, 30)
    assert (connect.username, connect.password) == ("gateway", b"secret")
    session.received(Connack(session_present=True).encode(version), 1.0)
    subscribe = Subscribe.decode(body(said(session)), version)
    assert subscribe.filters == tuple((topic, 1) for topic in WANTED.topics)
    session.received(Suback(subscribe.packet_id, b"\1\1").encode(version), 1.0)
    assert session.phase is Phase.READY
    assert session.session_present
    assert session.ending is None


def test_mqtt_5_asks_for_the_widest_window_and_a_session_expiry() -> None:
    connect = Connect.decode(body(said(connecting(Version.V5))))
    assert connect.properties == {Property.SESSION_EXPIRY_INTERVAL: 3600, Property.RECEIVE_MAXIMUM: 65_535}


@both
def test_messages_come_before_and_after_the_subscription_is_confirmed(version: Version) -> None:
    session = connecting(version)
    backlog = Publish(topic="t", payload=b"1", qos=1, packet_id=9).encode(version)
    read = session.received(Connack(session_present=True).encode(version) + backlog, 0.0)
    assert read.messages == [Message("t", b"1", False)]
    assert bytes(read.acks) == b"@\x02\0\x09"
    session.received(Suback(1, b"\1\1").encode(version), 0.0)
    retained = Publish(topic="t", payload=b"2", retain=True).encode(version)
    assert session.received(retained, 0.0).messages == [Message("t", b"2", True)]


@pytest.mark.parametrize(("version", "reason"), [(Version.V5, 0x84), (Version.V5, 1), (Version.V311, 1)])
def test_a_version_that_is_not_spoken_is_told_from_other_refusals(version: Version, reason: int) -> None:
    session = connecting(version)
    session.received(b"\x20\x02\0" + bytes((reason,)), 0.0)
    assert session.ending is not None
    assert session.ending.cause is Cause.UNSUPPORTED_VERSION


@pytest.mark.parametrize(("version", "reason"), [(Version.V5, 0x86), (Version.V311, 4)])
def test_a_refused_password_is_said_in_words(version: Version, reason: int) -> None:
    session = connecting(version)
    session.received(Connack(reason=reason).encode(version), 0.0)
    assert session.ending is not None
    assert session.ending.cause is Cause.REFUSED
    assert str(session.ending) == "the broker refused the connection: bad user name or password"


@both
def test_a_refused_subscription_names_the_filter(version: Version) -> None:
    session = ready(version, granted=b"\1\x87")
    assert session.ending is not None
    assert session.ending.cause is Cause.NOT_SUBSCRIBED
    assert "tidegate/v1/s/+/state" in str(session.ending)


@both
def test_a_subscription_with_qos_0_is_noticed(version: Version) -> None:
    assert ready(version, granted=b"\1\0").granted_qos0


@both
@pytest.mark.parametrize(
    "chunk",
    [
        Suback(2, b"\1\1").encode(Version.V311),
        Connack().encode(Version.V311),
        b"\x10\x00",
        b"\xf0\x00",
        b"\xd1\x00",
        b"\xd0\x01\0",
        b"\x34\x06\0\1t\0\1x",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x32\x05\0\1t\0\0",
        b"\x30\x02\0\x05",
        b"\x30\x03\0\1+",
    ],
)
def test_what_may_not_come_ends_the_connection(version: Version, chunk: bytes) -> None:
    session = ready(version)
    session.received(chunk, 0.0)
    assert session.ending is not None
    assert session.ending.cause is Cause.MALFORMED


@both
def test_a_publish_before_connack_is_not_taken(version: Version) -> None:
    session = connecting(version)
    assert not session.received(Publish(topic="t", payload=b"1").encode(version), 0.0).messages
    assert session.ending is not None


def test_a_farewell_of_the_broker_says_why() -> None:
    session = ready(Version.V5)
    session.received(Disconnect(0x8E).encode(Version.V5), 0.0)
    assert "another client took over" in str(session.ending)


@both
def test_it_pings_while_nothing_else_is_said_and_gives_up_on_silence(version: Version) -> None:
    session = ready(version)
    session.tick(10.0)
    assert not said(session)
    session.tick(15.0)
    assert said(session) == PINGREQ
    session.received(PINGRESP, 15.1)
    session.tick(30.0)
    assert said(session) == PINGREQ
    session.tick(60.0)
    assert session.ending is None
    session.tick(61.0)
    assert session.ending is not None
    assert session.ending.cause is Cause.SILENT


@both
def test_silence_while_our_own_reads_are_paused_is_nobodys_fault(version: Version) -> None:
    session = ready(version)
    for second in range(0, 300, 10):
        session.not_listening(float(second))
        session.tick(float(second))
    assert session.ending is None


@both
def test_a_broker_that_does_not_answer_is_given_up(version: Version) -> None:
    session = connecting(version)
    session.tick(10.0)
    assert session.ending is None
    session.tick(10.1)
    assert "no answer for 10 s: waiting for the broker's CONNACK" in str(session.ending)


def test_the_brokers_own_keepalive_counts() -> None:
    session = connecting(Version.V5)
    session.received(Connack(properties={Property.SERVER_KEEP_ALIVE: 4}).encode(Version.V5), 0.0)
    session.received(Suback(1, b"\1\1").encode(Version.V5), 0.0)
    said(session)
    session.tick(2.0)
    assert said(session) == PINGREQ
