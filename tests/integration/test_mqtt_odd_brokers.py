"""The reader against brokers that are old, mute, wrong or hostile: it counts, says why, waits and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.receive.mqtt.connect import Connack, Disconnect
from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.reader import MqttReader
from edge_aggregator.receive.mqtt.subscribe import Suback
from edge_aggregator.receive.mqtt.wire import Version
from ingest.runtime.clock import ManualClock
from tests.mqtt_intake import HeldIntake, until
from tests.tcp_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LEVEL_AT = 8
V311 = Version.V311


@asynccontextmanager
async def broker(answer: Answer) -> AsyncIterator[tuple[MqttReader, HeldIntake, list[int], ManualClock]]:
    """A reader before a broker that does as `answer` says; the list has the protocol level of each CONNECT."""
    levels: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(_LEVEL_AT + 1))[_LEVEL_AT])
        await answer(levels[-1], reader, writer)

    async with serving(handle) as port:
        clock, intake = ManualClock(), HeldIntake()
        config = BrokerConfig(port=port, client_id="edge", topics=["t/#"], keepalive_s=20)
        receiver = MqttReader(config, clock, rng=random.Random(1))
        running = asyncio.create_task(receiver.run(intake))
        try:
            yield receiver, intake, levels, clock
            assert not running.done()
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def farewell(reader: asyncio.StreamReader) -> bytes:
    """What the reader said until it left."""
    said = b""
    while not said.endswith(b"\xe0\x00") and (chunk := await reader.read(1000)):
        said += chunk
    return said


async def connections(levels: list[int], count: int, clock: ManualClock) -> None:
    """Lets time pass until that many connections have been tried."""
    while len(levels) < count:
        await until(lambda: clock._sleepers or len(levels) >= count)
        clock.advance(1)
        await asyncio.sleep(0.01)


async def serve(version: Version, writer: asyncio.StreamWriter, *after: bytes) -> None:
    writer.write(Connack().encode(version) + Suback(1, b"\1").encode(version) + b"".join(after))
    await writer.drain()


async def test_a_broker_of_3_1_1_only_is_met_at_once_in_its_own_version() -> None:
    async def answer(level: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if level == 5:
            writer.write(b"\x20\x02\0\x01")
            return
        await serve(V311, writer, Publish(topic="t/a", payload=b"1", qos=1, packet_id=1).encode(V311))
        await farewell(reader)

    async with broker(answer) as (receiver, intake, levels, _):
        await until(lambda: intake.payloads() == [b"1"])
        assert levels == [5, 4]
        assert receiver.state() == "connected"
        assert receiver.counters["unsupported_version"] == 1


async def test_a_broker_that_hangs_up_at_mqtt_5_without_a_word_is_tried_with_3_1_1() -> None:
    async def answer(level: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if level == 4:
            await serve(V311, writer)
            await farewell(reader)

    async with broker(answer) as (receiver, _, levels, clock):
        await connections(levels, 3, clock)
        await until(lambda: receiver.state() == "connected")
        assert levels == [5, 5, 4]


@pytest.mark.parametrize(
    ("answered", "counted", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100, "malformed", "PUBACK has the flags 8"),
        (b"\x20\xff\xff\xff\xff\x7f", "malformed", "more than four bytes"),
        (b"\x20\x80\x80\x80\x10", "malformed", "the limit is"),
        (Connack(reason=0x87).encode(Version.V5), "refused", "not authorised"),
        (Connack().encode(Version.V5) + Suback(1, b"\x87").encode(Version.V5), "not_subscribed", "t/#: not authorised"),
        (Connack().encode(Version.V5) + Disconnect(0x8B).encode(Version.V5), "farewell", "shutting down"),
    ],
)
async def test_a_broker_that_is_wrong_is_counted_and_tried_again(answered: bytes, counted: str, said: str) -> None:
    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answered)
        await writer.drain()
        await farewell(reader)

    async with broker(answer) as (receiver, intake, levels, clock):
        await connections(levels, 3, clock)
        await until(lambda: said in receiver.state())
        assert receiver.counters[counted] >= 2
        assert receiver.connected_since() is None
        assert not intake.arrivals


async def test_what_came_before_a_malformed_packet_is_kept_and_not_acknowledged() -> None:
    received: list[bytes] = []

    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        good = Publish(topic="t/a", payload=b"good", qos=1, packet_id=1).encode(Version.V5)
        await serve(Version.V5, writer, good, b"\x36\x06\0\1t\0\1x")
        received.append(await farewell(reader))

    async with broker(answer) as (receiver, intake, _, _clock):
        await until(lambda: receiver.counters["malformed"] == 1)
        assert intake.payloads() == [b"good"]
        intake.commit()
        await until(lambda: received)
        assert b"\x40\x02\0\1" not in received[0]


async def test_a_broker_that_goes_silent_is_left() -> None:
    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(Version.V5, writer)
        await farewell(reader)

    async with broker(answer) as (receiver, _, levels, clock):
        await until(lambda: receiver.state() == "connected")
        assert receiver.connected_since() == 0.0
        await connections(levels, 2, clock)
        assert receiver.counters["silent"] == 1
        assert clock.monotonic() > 30


async def test_a_long_pause_of_the_reads_counts_as_being_cut_off_and_is_not_blamed_on_the_broker() -> None:
    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(Version.V5, writer, Publish(topic="t/a", payload=b"1").encode(Version.V5))
        await farewell(reader)

    async with broker(answer) as (receiver, intake, levels, clock):
        intake.fill()
        await until(intake.arrivals.__len__)
        assert receiver.connected_since() == 0.0
        for _ in range(60):
            await until(lambda: clock._sleepers)
            clock.advance(1)
            await asyncio.sleep(0)
        assert receiver.connected_since() is None
        assert receiver.state() == "reading is paused: the intake has no room"
        intake.empty()
        await until(lambda: receiver.state() == "connected")
        assert (receiver.connected_since() or 0) > 50
        assert levels == [5]


async def test_the_intake_hears_when_the_window_in_flight_is_exhausted() -> None:
    async def answer(level: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if level == 5:
            writer.write(b"\x20\x02\0\x01")
            return
        await serve(V311, writer)
        for number in range(1, 21):
            writer.write(Publish(topic="t/a", payload=b"1", qos=1, packet_id=number).encode(V311))
            await writer.drain()
            await asyncio.sleep(0.001)
        await farewell(reader)

    async with broker(answer) as (_, intake, _levels, _clock):
        await until(lambda: len(intake.messages()) == 20)
        assert [arrival.window_full for arrival in intake.arrivals] == [False] * (len(intake.arrivals) - 1) + [True]


async def test_nobody_listens_there() -> None:
    receiver = MqttReader(BrokerConfig(port=1, client_id="edge", topics=["t/#"]), ManualClock())
    running = asyncio.create_task(receiver.run(HeldIntake()))
    await until(lambda: receiver.counters["unreachable"] == 1)
    assert receiver.state().startswith("cannot connect to 127.0.0.1:1: ")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
