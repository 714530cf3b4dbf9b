"""The hot path against a list of what was sent: no cut of the stream and no hostile byte changes the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.receive.mqtt.admission import Door
from edge_aggregator.receive.mqtt.device import DeviceSession
from edge_aggregator.receive.mqtt.publish import PINGRESP, Publish
from edge_aggregator.receive.mqtt.scan import Read, Scanner
from edge_aggregator.receive.mqtt.session import SubscriberSession, Subscription
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Kind, MalformedPacketError, Version, packet, text, varint
from edge_aggregator.receive.port import Message
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

unhurried = settings(deadline=None)  # a busy machine is no failure
few = settings(deadline=None, max_examples=examples(40))

LIMIT = 300
CHUNK = 64 * 1024


@dataclass
class Sent:
    """One packet and what the scanner owes for it."""

    raw: bytes
    message: Message | None = None
    oversized: str | None = None
    ack: bytes = b""
    control: tuple[int, bytes] | None = None


known = st.sampled_from(["site/pump-1", "site/pump-2"])  # what comes again and again is read in a loop of its own
topics = known | st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
payloads = st.tuples(st.integers(0, 255), st.sampled_from([0, 1, 60, 100, 126, 127, 200, 300, 900])).map(
    lambda fill: bytes((fill[0],)) * fill[1]
)
user_property = st.tuples(st.text("abc", max_size=5), st.text("xyz", max_size=100)).map(
    lambda pair: b"\x26" + text(pair[0]) + text(pair[1])
)


@st.composite
def sent(draw: st.DrawFn, version: Version) -> Sent:
    if draw(st.integers(0, 9)) == 0:
        return Sent(PINGRESP, control=(0xD0, b""))
    qos, retain, topic, payload = draw(st.sampled_from([0, 1])), draw(st.booleans()), draw(topics), draw(payloads)
    identifier = draw(st.integers(1, 65_535)).to_bytes(2) if qos else b""
    properties = b""
    if version is Version.V5:
        body = b"".join(draw(st.lists(user_property, max_size=3)))
        properties = varint(len(body)) + body
    dup = 8 * draw(st.booleans()) if qos else 0
    body = text(topic) + identifier + properties + payload
    raw = packet(Kind.PUBLISH, body, dup | qos << 1 | retain)
    ack = b"@\x02" + identifier if qos else b""
    if len(body) > LIMIT:
        return Sent(raw, oversized=topic, ack=ack)
    return Sent(raw, Message(topic, payload, retain), ack=ack)


streams = st.sampled_from(Version).flatmap(
    lambda version: st.tuples(st.just(version), st.lists(sent(version), max_size=12))
)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in cuts)})
    return [stream[a:b] for a, b in pairwise(places)]


def gathered(scanner: Scanner, chunks: list[bytes]) -> Read:
    total = Read()
    for chunk in chunks:
        read = scanner.feed(chunk)
        total.messages += read.messages
        total.acks += read.acks
        total.oversized += read.oversized
        total.control += read.control
        total.size += read.size
        assert read.error is None, read.error
    return total


def assert_is(read: Read, expected: list[Sent]) -> None:
    assert read.messages == [one.message for one in expected if one.message]
    assert all(type(message.retain) is bool for message in read.messages)
    assert bytes(read.acks) == b"".join(one.ack for one in expected)
    assert read.oversized == [one.oversized for one in expected if one.oversized]
    assert read.control == [one.control for one in expected if one.control]


@unhurried
@given(streams, st.lists(st.integers(0, 2**32), max_size=40))
def test_every_cut_of_the_stream_gives_the_same(stream: tuple[Version, list[Sent]], cuts: list[int]) -> None:
    version, packets = stream
    chunks = cut(b"".join(one.raw for one in packets), cuts)
    assert_is(gathered(Scanner(version, TopicCache(), max_packet_bytes=LIMIT), chunks), packets)


@few
@given(streams)
def test_one_byte_at_a_time_gives_the_same_and_holds_little(stream: tuple[Version, list[Sent]]) -> None:
    version, packets = stream
    scanner = Scanner(version, TopicCache(), max_packet_bytes=LIMIT)
    total = Read()
    for byte in b"".join(one.raw for one in packets):
        read = scanner.feed(bytes((byte,)))
        total.messages += read.messages
        total.acks += read.acks
        total.oversized += read.oversized
        total.control += read.control
        assert len(scanner._rest) <= LIMIT + 5
    assert_is(total, packets)


@unhurried
@given(streams, st.binary(min_size=1, max_size=200), st.integers(0, 2**32))
def test_what_precedes_a_malformed_packet_is_kept(
    stream: tuple[Version, list[Sent]], garbage: bytes, place: int
) -> None:
    version, packets = stream
    good = packets[: place % (len(packets) + 1)]
    read = Scanner(version, TopicCache(), max_packet_bytes=LIMIT).feed(
        b"".join(one.raw for one in good) + b"\x36\x06\0\1a\0\1x" + garbage  # QoS 3 does not exist
    )
    assert read.error is not None
    assert_is(read, good)


def plain(version: Version, number: int, payload: bytes) -> bytes:
    properties = b"\0" if version is Version.V5 else b""
    return packet(Kind.PUBLISH, text("site/pump-1") + number.to_bytes(2) + properties + payload, 2)


@few
@given(st.sampled_from(Version), st.integers(1, 150), st.integers(0, 149))
def test_a_missing_identifier_ends_a_row_of_like_messages_where_it_stands(
    version: Version, count: int, place: int
) -> None:
    place %= count
    row = [plain(version, 0 if number == place else number + 1, bytes(200)) for number in range(count)]
    scanner = Scanner(version, TopicCache(), max_packet_bytes=LIMIT)
    scanner.feed(plain(version, 9, bytes(200)))  # from here on the topic is known
    read = scanner.feed(b"".join(row))
    assert read.error is not None
    assert len(read.messages) == place
    assert read.acks == b"".join(b"@\x02" + (number + 1).to_bytes(2) for number in range(place))


def sessions() -> list[Callable[[bytes], Read]]:
    wanted = Subscription(
        client_id="edge", topics=("a",), keepalive_s=30, max_packet_bytes=LIMIT, session_expiry_s=1, answer_timeout_s=10
    )
    subscribers = [SubscriberSession(wanted, version, TopicCache(), 0.0) for version in Version]
    device = DeviceSession(Door("s", None), TopicCache(), max_packet_bytes=LIMIT, connect_timeout_s=10, now=0.0)
    scanners = [Scanner(version, TopicCache(), max_packet_bytes=LIMIT) for version in Version]
    calls: list[Callable[[bytes], Read]] = [scanner.feed for scanner in scanners]
    calls += [lambda chunk, s=session: s.received(chunk, 0.0) for session in (*subscribers, device)]
    return calls


HELLO = bytes.fromhex("100f00044d515454") + b"\x04\x02\x00\x3c\x00\x03dev"
hostile = st.lists(
    st.one_of(
        st.binary(max_size=50),
        st.just(HELLO),
        st.just(b"\x20\x02\0\0"),
        st.just(b"\x90\x03\0\x01\x01"),
        sent(Version.V311).map(lambda one: one.raw),
        sent(Version.V5).map(lambda one: one.raw),
    ),
    max_size=12,
)


@unhurried
@given(hostile, st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), max_size=6))
def test_hostile_bytes_end_a_connection_and_nothing_else(parts: list[bytes], flips: list[tuple[int, int]]) -> None:
    for receive in sessions():
        for part in parts:
            chunk = bytearray(part)
            for place, value in flips:
                if chunk:
                    chunk[place % len(chunk)] = value
            if receive(bytes(chunk)).error:
                break


@few
@given(streams, st.data())
def test_a_flipped_byte_never_invents_an_acknowledgement_beyond_the_messages(
    stream: tuple[Version, list[Sent]], data: st.DataObject
) -> None:
    version, packets = stream
    raw = bytearray(b"".join(one.raw for one in packets))
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    read = Scanner(version, TopicCache(), max_packet_bytes=LIMIT).feed(bytes(raw))
    assert read.owed() <= len(read.messages) + len(read.oversized)


def test_ten_megabytes_are_passed_over_without_being_held() -> None:
    scanner = Scanner(Version.V5, TopicCache(), max_packet_bytes=1024 * 1024)
    big = Publish(topic="t/big", payload=bytes(10_000_000), qos=1, packet_id=7).encode(Version.V5)
    after = Publish(topic="t/small", payload=b"1", qos=1, packet_id=8).encode(Version.V5)
    stream = big + after
    total = Read()
    for at in range(0, len(stream), CHUNK):
        read = scanner.feed(stream[at : at + CHUNK])
        assert len(scanner._rest) < 100
        assert read.size < CHUNK
        total.oversized += read.oversized
        total.messages += read.messages
        total.acks += read.acks
    assert total.oversized == ["t/big"]
    assert total.messages == [Message("t/small", b"1", False)]
    assert bytes(total.acks) == b"@\x02\0\x07@\x02\0\x08"


def test_the_topic_cache_forgets_when_it_has_grown_and_still_knows_topics() -> None:
    cache = TopicCache(most_bytes=10_000)
    scanner = Scanner(Version.V311, cache, max_packet_bytes=1000)
    for number in range(2000):
        read = scanner.feed(Publish(topic=f"topic/{number}", payload=b"").encode(Version.V311))
        assert read.messages[0].topic == f"topic/{number}"
        assert len(cache.known) < 60


@unhurried
@given(st.binary(max_size=30))
def test_a_topic_is_text_without_wildcards_or_refused(raw: bytes) -> None:
    try:
        expected: str | None = raw.decode()
    except UnicodeDecodeError:
        expected = None
    if not raw or expected is None or set("+#\0") & set(expected):
        expected = None
    try:
        found: str | None = TopicCache().learn(raw)
    except MalformedPacketError:
        found = None
    assert found == expected
