"""A Mosquitto as it is installed keeps 20 messages in flight: the edge commits as soon as it waits, not at the interval's end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from compose.stack.errors import NotReady
from compose.stack.mosquitto import Mosquitto
from compose.stack.mqtt_probe import probe_mqtt
from compose.stack.ports import LOOPBACK, free_port
from compose.stack.process import end, launch
from compose.stack.server import account
from edge_aggregator.intake import EdgeIntake
from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.receive.mqtt.reader import MqttReader
from ingest.runtime.clock import ManualClock
from tests.mqtt_intake import DEADLINE_S, until
from tests.mqtt_relay import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from compose.stack.endpoints import MqttEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

IN_FLIGHT = 20
MESSAGES = 3000
STOCK = "listener {port} {host}\nallow_anonymous true\nuser {account}\nlog_dest stderr\nmax_queued_messages 0\n"
"""Nothing is set but what waits at the broker, so that a test may publish faster than anybody reads."""


@asynccontextmanager
async def stock_broker(folder: Path, like: MqttEndpoint) -> AsyncIterator[int]:
    """The port of a broker of its own."""
    port, settings = free_port(), folder / "mosquitto.conf"
    settings.write_text(STOCK.format(port=port, host=LOOPBACK, account=account()))
    program = Mosquitto().obtain(os.environ, lambda _: None)
    owned = launch([str(program.path), "-c", str(settings)], home=folder, log=folder / "log", env=os.environ)
    try:
        await until(lambda: _answers(replace(like, host=LOOPBACK, port=port)), "the broker answers")
        yield port
    finally:
        await asyncio.to_thread(end, owned, signal.SIGTERM)


def _answers(endpoint: MqttEndpoint) -> bool:
    try:
        probe_mqtt(endpoint)
    except NotReady:
        return False
    return True


class Committing(EdgeIntake):
    """The gateway's own intake before a journal that takes whatever is due at once."""

    def __init__(self) -> None:
        # The clock stands still: no interval ever ends, no size is ever reached.
        huge = 1 << 30
        super().__init__(ManualClock(), most_bytes=huge, commit_bytes=huge, commit_samples=huge, interval_s=0.1)
        self.commits = 0
        self.payloads: list[bytes] = []

    async def run(self) -> None:
        while True:
            self.work.clear()
            if self.due_in() == 0:
                arrivals = [arrival for _, arrival in self.take()]
                messages = [message for arrival in arrivals for message in arrival.messages]
                for arrival in arrivals:
                    arrival.committed()
                self.release(len(messages))
                self.commits += 1
                self.payloads += [message.payload for message in messages]
            else:
                await self.work.wait()


def waiting(intake: EdgeIntake) -> int:
    return sum(len(arrival.messages) for _, arrival in intake._waiting)


@asynccontextmanager
async def reading(config: BrokerConfig) -> AsyncIterator[Committing]:
    intake = Committing()
    reader = MqttReader(config, ManualClock(), rng=random.Random(7))
    tasks = [asyncio.create_task(reader.run(intake)), asyncio.create_task(intake.run())]
    try:
        await until(lambda: reader.state() == "connected")
        yield intake
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def publish(port: int, payloads: list[bytes]) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv311)
    client.max_inflight_messages_set(1000)
    client.connect(LOOPBACK, port)
    client.loop_start()
    for message in [client.publish("t/d", payload, 1) for payload in payloads]:
        message.wait_for_publish(DEADLINE_S)
    client.disconnect()
    client.loop_stop()


async def test_no_commit_interval_is_waited_for_while_the_broker_waits(
    mosquitto: RunningServer[MqttEndpoint], tmp_path: Path
) -> None:
    payloads = [b"%d" % number for number in range(MESSAGES)]
    async with stock_broker(tmp_path, mosquitto.endpoint) as port, relay(LOOPBACK, port, only_311=True) as between:
        config = BrokerConfig(port=between.port, client_id="edge", topics=["t/#"])
        assert config.in_flight_window == IN_FLIGHT
        async with reading(config) as intake:
            await asyncio.to_thread(publish, port, payloads)
            # What is left over does not keep the broker waiting: it may wait for the interval's end.
            await until(lambda: len(intake.payloads) + waiting(intake) == MESSAGES)
    assert intake.payloads == payloads[: len(intake.payloads)]
    assert waiting(intake) < IN_FLIGHT


async def test_mqtt_5_asks_a_stock_broker_for_more_at_once(
    mosquitto: RunningServer[MqttEndpoint], tmp_path: Path
) -> None:
    async with stock_broker(tmp_path, mosquitto.endpoint) as port:
        config = BrokerConfig(port=port, client_id="edge", topics=["t/#"])
        async with reading(config) as intake:
            await asyncio.to_thread(publish, port, [b"%d" % number for number in range(MESSAGES)])
            await until(lambda: waiting(intake) == MESSAGES)
    assert intake.commits == 0
