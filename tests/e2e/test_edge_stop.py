"""A gateway is stopped in the worst hour: its outbox is full and Kafka's brokers answer nothing; or its intake is full."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from compose.stack.endpoints import AlertmanagerEndpoint, Endpoints, InfluxEndpoint, KafkaEndpoint, MqttEndpoint
from tests.process_fleet import Talker
from tests.process_house import House
from tests.process_kit import STOP_S, nursery, until
from tests.raw_flood import Flood
from tests.servers import RunningServer

if TYPE_CHECKING:
    from pathlib import Path

OUTBOX_BYTES = 16 * 1024


@pytest.mark.servers
async def test_a_stop_is_quick_and_quiet_with_a_full_outbox_and_frozen_brokers(
    tmp_path: Path, kafka: RunningServer[KafkaEndpoint], mosquitto: RunningServer[MqttEndpoint]
) -> None:
    away = "http://127.0.0.1:9"
    servers = Endpoints(
        kafka.endpoint, mosquitto.endpoint, InfluxEndpoint(away, "o", "b", "t"), AlertmanagerEndpoint(away)
    )
    house = House(tmp_path, site="stop-1", servers=servers, edge_changes={"outbox_bytes": OUTBOX_BYTES})
    async with house:
        await house.start_edge()
        talkers = [Talker(house.site, f"pump-{number}", house.broker) for number in range(20)]
        talking = asyncio.create_task(_talk(talkers))
        assert kafka.pid is not None
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            await until(lambda: _full(house), "the outbox is full and the log is away", house.told)
            took = await house.edge.stop()
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
            talking.cancel()
            for talker in talkers:
                talker.close()
        assert took < STOP_S, house.told()
        for ugly in ("Traceback", "Warning", "never retrieved"):
            assert ugly not in house.edge.told()
        found = await house.account()
        assert found["balanced"]
        assert found["outbox_bytes"] > OUTBOX_BYTES / 2
        house.edge.start()
        await until(lambda: _sent(house), "the next start goes on and nothing waits any more", house.told)
        assert (await house.account())["balanced"]


@pytest.mark.whole
async def test_a_stop_is_quick_with_a_full_intake(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start_edge()
        # Each may have 256 KiB in the intake: together they say more than the 32 MiB that it holds.
        flood = Flood(house.site, devices=140, messages=1500, ts=house.clock.now_ms())
        await flood.connect(house.broker)
        flood.pour()
        await until(lambda: _answered(flood), "the first of it is acknowledged", house.told)
        took = await house.edge.stop()
        await flood.end()
        assert took < STOP_S, house.told()
        found = await house.account()
        assert found["balanced"]
        assert found["totals"]["received"] >= flood.acknowledged * flood.SAMPLES


async def _answered(flood: Flood) -> bool:
    return flood.acknowledged > 0


async def _talk(talkers: list[Talker]) -> None:
    while True:
        for talker in talkers:
            talker.say()
        await asyncio.sleep(0.1)


async def _sent(house: House) -> bool:
    return int((await house.account())["outbox_bytes"]) < OUTBOX_BYTES / 8


async def _full(house: House) -> bool:
    found: dict[str, Any] = await house.account()
    live = found["live"]
    waiting = live is not None and any("forward" in part for part in live["not_ready"])
    return waiting and found["totals"]["dropped"].get("outbox_full", 0) > 0
