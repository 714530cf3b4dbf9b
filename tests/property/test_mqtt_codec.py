"""Every packet but PUBLISH (see test_mqtt_scan): what is encoded is read back, and nothing else is read in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.receive.mqtt.connect import Connack, Connect, Disconnect, UnsupportedVersionError, Will
from edge_aggregator.receive.mqtt.properties import Property, read_properties, write_properties
from edge_aggregator.receive.mqtt.publish import Puback
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe, Unsuback, Unsubscribe
from edge_aggregator.receive.mqtt.wire import (
    LONGEST_PACKET,
    Cursor,
    Kind,
    MalformedPacketError,
    Version,
    binary,
    frame_at,
    kind_of,
    text,
    varint,
)

if TYPE_CHECKING:
    from collections.abc import Callable

unhurried = settings(deadline=None)  # a busy machine is no failure

versions = st.sampled_from(Version)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
identifiers = st.integers(1, 65_535)
qos = st.integers(0, 2)
session_properties = st.fixed_dictionaries(
    {},
    optional={
        Property.SESSION_EXPIRY_INTERVAL: st.integers(0, 2**32 - 1),
        Property.RECEIVE_MAXIMUM: st.integers(1, 65_535),
        Property.REASON_STRING: texts,
        Property.SERVER_KEEP_ALIVE: st.integers(0, 65_535),
        Property.MAXIMUM_QOS: st.integers(0, 1),
    },
)


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    version = draw(versions)
    username = draw(st.none() | texts)
    return Connect(
        version=version,
        client_id=draw(texts),
        clean_start=draw(st.booleans()),
        keepalive_s=draw(st.integers(0, 65_535)),
        will=draw(st.none() | st.builds(Will, texts, st.binary(max_size=50), qos, st.booleans())),
        username=username,
        password=draw(st.binary(max_size=20)) if username is not None else None,
        properties=draw(session_properties) if version is Version.V5 else {},
    )


def body_of(raw: bytes, kind: Kind) -> bytes:
    frame = frame_at(raw, 0)
    assert frame is not None
    assert frame.end == len(raw)
    assert kind_of(raw[0]) is kind
    return raw[frame.start :]


@unhurried
@given(connects())
def test_connect_is_read_back(connect: Connect) -> None:
    assert Connect.decode(body_of(connect.encode(), Kind.CONNECT)) == connect


@unhurried
@given(versions, st.booleans(), st.integers(0, 255), session_properties)
def test_connack_is_read_back(version: Version, present: bool, reason: int, properties: dict[int, int]) -> None:  # noqa: FBT001 - drawn
    connack = Connack(session_present=present, reason=reason, properties=properties if version is Version.V5 else {})
    assert Connack.decode(body_of(connack.encode(version), Kind.CONNACK)) == connack


@unhurried
@given(versions, identifiers, st.lists(st.tuples(texts, qos), min_size=1, max_size=5), st.binary(max_size=5))
def test_subscriptions_are_read_back(
    version: Version, identifier: int, filters: list[tuple[str, int]], reasons: bytes
) -> None:
    subscribe = Subscribe(identifier, tuple(filters))
    assert Subscribe.decode(body_of(subscribe.encode(version), Kind.SUBSCRIBE), version) == subscribe
    suback = Suback(identifier, reasons)
    assert Suback.decode(body_of(suback.encode(version), Kind.SUBACK), version) == suback
    unsubscribe = Unsubscribe(identifier, tuple(topic for topic, _ in filters))
    assert Unsubscribe.decode(body_of(unsubscribe.encode(version), Kind.UNSUBSCRIBE), version) == unsubscribe
    unsuback = Unsuback(identifier, reasons if version is Version.V5 else b"")
    assert Unsuback.decode(body_of(unsuback.encode(version), Kind.UNSUBACK), version) == unsuback


@unhurried
@given(versions, identifiers, st.integers(0, 255))
def test_puback_and_disconnect_are_read_back(version: Version, identifier: int, reason: int) -> None:
    reason = reason if version is Version.V5 else 0
    puback, disconnect = Puback(identifier, reason), Disconnect(reason)
    assert Puback.decode(body_of(puback.encode(), Kind.PUBACK), version) == puback
    assert Disconnect.decode(body_of(disconnect.encode(version), Kind.DISCONNECT), version) == disconnect


@unhurried
@given(st.integers(0, LONGEST_PACKET))
def test_variable_byte_integers_are_read_back_and_as_short_as_can_be(number: int) -> None:
    encoded = varint(number)
    assert Cursor(encoded).varint() == number
    assert len(encoded) == 1 + (number > 127) + (number > 16_383) + (number > 2_097_151)
    frame = frame_at(b"\x30" + encoded, 0)
    assert frame is not None
    assert frame.end - frame.start == number


DECODERS: list[Callable[[bytes, Version], object]] = [
    lambda body, _: Connect.decode(body),
    lambda body, _: Connack.decode(body),
    Disconnect.decode,
    Subscribe.decode,
    Suback.decode,
    Unsubscribe.decode,
    Unsuback.decode,
    Puback.decode,
    lambda body, _: read_properties(Cursor(body)),
]
encoded_parts = st.one_of(
    st.binary(max_size=20),
    texts.map(text),
    st.just(text("MQTT") + b"\x05\xc6\0\x3c"),
    session_properties.map(write_properties),
)


@unhurried
@given(st.lists(encoded_parts, max_size=6).map(b"".join), versions)
def test_any_bytes_are_read_or_called_malformed(body: bytes, version: Version) -> None:
    for decode in DECODERS:
        try:
            decode(body, version)
        except MalformedPacketError:
            continue


@unhurried
@given(connects(), st.data())
def test_a_packet_cut_short_is_malformed(connect: Connect, data: st.DataObject) -> None:
    body = body_of(connect.encode(), Kind.CONNECT)
    with pytest.raises(MalformedPacketError):
        Connect.decode(body[: data.draw(st.integers(0, len(body) - 1))])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (text("MQIsdp") + b"\x03\x02\0\0\0\0", "protocol level 3"),
        (text("MQTT") + b"\x06\x02\0\0\0\0", "protocol level 6"),
        (text("HTTP") + b"\x04\x02\0\0\0\0", "other than MQTT"),
        (text("MQTT") + b"\x04\x03\0\0\0\0", "flags"),
        (text("MQTT") + b"\x04\x1a\0\0\0\0", "flags"),
        (text("MQTT") + b"\x04\x42\0\0\0\0" + binary(b"secret"), "no user name"),
        (text("MQTT") + b"\x04\x02\0\0\0\0more", "too many"),
        (text("MQTT") + b"\x04\x02\0\0" + binary(b"\xff"), "UTF-8"),
        (text("MQTT") + b"\x04\x02\0\0" + binary(b"a\0b"), "U+0000"),
        (text("MQTT") + b"\x05\x02\0\0\x0a\x11\0\0\0\1\x11\0\0\0\1\0\0", "twice"),
        (text("MQTT") + b"\x05\x02\0\0\x02\x7f\0\0\0", "does not exist"),
        (text("MQTT") + b"\x05\x02\0\0\x03\x11\0\0\0\0\0\0", "beyond"),
    ],
)
def test_a_bad_connect_is_named(body: bytes, named: str) -> None:
    with pytest.raises(MalformedPacketError, match=named.replace("+", r"\+")):
        Connect.decode(body)


def test_an_unknown_version_says_which() -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        Connect.decode(text("MQTT") + b"\x09\x02\0\0\0\0")
    assert caught.value.level == 9


def test_no_password_is_ever_shown() -> None:
    connect = Connect(version=Version.V5, client_id="a", username="a", password=b"hunter2")
    assert "hunter2" not in repr(connect)
