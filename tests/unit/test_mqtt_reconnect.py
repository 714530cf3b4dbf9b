"""Connecting again: pauses double up to ten seconds, chance spreads them, and a connection that held begins them anew."""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.receive.mqtt.connect import Connack
from edge_aggregator.receive.mqtt.reader import MqttReader
from edge_aggregator.receive.mqtt.subscribe import Suback
from edge_aggregator.receive.mqtt.wire import Version
from ingest.runtime.clock import ManualClock
from tests.mqtt_intake import HeldIntake, until
from tests.tcp_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOBODY = 1
"""A port at which nobody listens."""
TICK_S = 0.5
"""What a connection waits between two looks at the time; no pause is as long."""


class Chance(random.Random):
    """Always the same share of what is possible."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share = share

    def uniform(self, a: float, b: float) -> float:
        return a + self.share * (b - a)


class Pauses(ManualClock):
    """Keeps what is waited for; `most` pauses are over at once, the next one never is."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._most = most

    async def sleep(self, seconds: float) -> None:
        if seconds == TICK_S or len(self.waited) == self._most:
            await asyncio.Event().wait()
        self.waited.append(round(seconds, 6))
        await asyncio.sleep(0)

    def over(self) -> bool:
        return len(self.waited) == self._most


@asynccontextmanager
async def trying(clock: Pauses, chance: random.Random, port: int = NOBODY) -> AsyncIterator[MqttReader]:
    config = BrokerConfig(port=port, client_id="edge", topics=["t/#"], keepalive_s=2)
    reader = MqttReader(config, clock, rng=chance)
    running = asyncio.create_task(reader.run(HeldIntake()))
    try:
        yield reader
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(("share", "of_step"), [(0.0, 0.1), (0.5, 0.55), (1.0, 1.0)])
async def test_pauses_double_up_to_ten_seconds_and_chance_chooses_within_them(share: float, of_step: float) -> None:
    clock = Pauses(10)
    async with trying(clock, Chance(share)):
        await until(clock.over)
    steps = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    assert clock.waited == pytest.approx([of_step * step for step in steps])


async def test_two_gateways_do_not_come_back_together() -> None:
    clocks = [Pauses(6), Pauses(6)]
    for seed, clock in enumerate(clocks):
        async with trying(clock, random.Random(seed)):
            await until(clock.over)
    assert all(one != other for one, other in zip(clocks[0].waited, clocks[1].waited, strict=True))


async def connected_for(seconds: float) -> list[float]:
    """The pauses of a reader of which each connection is closed by the broker after so long."""
    clock = Pauses(4)

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(Connack().encode(Version.V5) + Suback(1, b"\1").encode(Version.V5))
        await writer.drain()
        await until(lambda: clock.over() or reader.state() == "connected")
        clock.advance(seconds)

    async with serving(handle) as port, trying(clock, Chance(1.0), port) as reader:
        await until(clock.over)
    return clock.waited


async def test_a_connection_that_held_begins_the_pauses_anew_and_one_that_did_not_goes_on_with_them() -> None:
    assert await connected_for(11.0) == [0.1, 0.1, 0.1, 0.1]
    assert await connected_for(1.0) == [0.1, 0.2, 0.4, 0.8]
