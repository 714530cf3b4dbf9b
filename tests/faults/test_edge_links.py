"""Bad links and restarting brokers on both sides of a gateway: nothing that it acknowledged is lost or counted twice.

`TIDEGATE_LINK_SEEDS` says how many orders of faults (`make prove` asks for many).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from compose.bench.crash.centre import Centre
from compose.bench.crash.oracle import judge
from compose.fleet.link import BrokerAddress, DeviceLink
from compose.stack.endpoints import MqttEndpoint
from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.service import EdgeService, build_edge
from ingest.contract.records import Record
from ingest.contract.topics import ROLLUPS, device_topic, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.port import Log
from ingest.runtime.secrets import generate_private_key
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import edge_config
from tests.edge_site import FAST
from tests.servers import RunningServer
from tests.toxic_links import TOXICS, DistantKafka, Link, distant_kafka, settings, toxiproxy

pytestmark = pytest.mark.servers
SEEDS = int(os.environ.get("TIDEGATE_LINK_SEEDS", "1"))
CLOCK = SystemClock()
FAULT_S = 0.8
HALF_OPEN_S = 5.0
"""Longer than it takes both ends to notice."""
DEADLINE_S = 90
KEEPALIVE_S = 2
Fault = Callable[[], Awaitable[None]]


class Device:
    """It talks to the broker over a good link: what goes wrong, goes wrong at the gateway."""

    def __init__(self, endpoint: MqttEndpoint, site: str, name: str, chance: random.Random) -> None:
        self.said: dict[int, float] = {}
        self._name, self._topic, self._chance = name, device_topic(site, name, "telemetry"), chance
        address = BrokerAddress(
            host=endpoint.host,
            port=endpoint.port,
            username=endpoint.device_username,
            password=endpoint.device_password,
        )
        command = device_topic(site, name, "command")
        self.link = DeviceLink(address, f"{site}-{name}", command, lambda _: None)
        self.link.connect()

    async def talk(self) -> None:
        """Until cancelled: mostly now, sometimes of a while ago, whole numbers, so that sums are exact."""
        while True:
            ts = CLOCK.now_ms() - (self._chance.randrange(2000) if self._chance.random() < 0.1 else 0)
            while ts in self.said:
                ts -= 1
            self.said[ts] = float(self._chance.getrandbits(22))
            self.link.publish(self._topic, msgspec.json.encode({"ts": ts, "metrics": {"m": self.said[ts]}}))
            await asyncio.sleep(self._chance.uniform(0.01, 0.05))


def broker_by(link: Link, endpoint: MqttEndpoint, site: str, folder: Path) -> BrokerConfig:
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text(endpoint.password)
    return BrokerConfig(
        host="127.0.0.1",
        port=link.port,
        client_id=f"gateway-{site}",
        topics=[device_topic(site, "+", channel) for channel in ("telemetry", "state", "ack")],
        username=endpoint.username,
        password_file=str(folder / "password"),
        keepalive_s=KEEPALIVE_S,
        connect_timeout_s=2.0,
    )


def faults(
    links: dict[str, Link], mosquitto: RunningServer[MqttEndpoint], kafka: DistantKafka, chance: random.Random
) -> list[tuple[str, Fault, Fault]]:
    """Each with how it begins and how it ends, in an order of chance."""
    found: list[tuple[str, Fault, Fault]] = []
    for where, link in links.items():
        for what, toxic in TOXICS.items():
            found.append((f"{where} {what}", lambda link=link, toxic=toxic: link.poison(toxic), link.heal))  # type: ignore[misc]
        found.append((f"{where} cut", link.cut, link.heal))

    async def mosquitto_away() -> None:
        await asyncio.to_thread(mosquitto.stop)

    async def mosquitto_back() -> None:
        await asyncio.to_thread(mosquitto.start)

    async def kafka_away() -> None:
        await asyncio.to_thread(kafka.end, chance.choice([signal.SIGTERM, signal.SIGKILL]))

    async def kafka_back() -> None:
        await asyncio.to_thread(kafka.start)

    found += [("mosquitto away", mosquitto_away, mosquitto_back), ("kafka away", kafka_away, kafka_back)]
    chance.shuffle(found)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_bad_links_lose_nothing(mosquitto: RunningServer[MqttEndpoint], tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - a failure must be repeatable
    chance, site, health = random.Random(seed), f"site-{uuid.uuid4().hex[:8]}", Health()
    generate_private_key(tmp_path / "gateway.pem")
    async with toxiproxy(tmp_path) as proxy:
        with distant_kafka(tmp_path / "kafka") as kafka:
            links = {
                "mqtt": await proxy.link("mqtt", mosquitto.endpoint.port),
                "kafka": await proxy.link("kafka", kafka.inner, kafka.outer),
            }
            near = KafkaLog(KafkaConfig(**settings(kafka.endpoint, tmp_path)), CLOCK)
            far = KafkaLog(KafkaConfig(**settings(kafka.endpoint, tmp_path, links["kafka"].port)), CLOCK)
            await near.ensure_topics(every_topic())
            broker = broker_by(links["mqtt"], mosquitto.endpoint, site, tmp_path)
            config = edge_config(tmp_path, site=site, broker=broker, **(FAST | {"lease_s": 600.0}))
            edge = build_edge(config, clock=CLOCK, log=far, health=health, telemetry=Telemetry("test"))
            running = asyncio.create_task(edge.run())
            await eventually(lambda: _true(not health.reasons()), "the gateway is ready")
            devices = [Device(mosquitto.endpoint, site, f"d{n}", random.Random(seed * 10 + n)) for n in range(3)]
            talking = [asyncio.create_task(device.talk()) for device in devices]
            for name, begin, finish in faults(links, mosquitto, kafka, chance):
                print(name)  # noqa: T201 - which faults came before a failure
                await begin()
                await asyncio.sleep(HALF_OPEN_S if "half-open" in name else FAULT_S)
                await finish()
                await asyncio.sleep(chance.uniform(0.0, 0.5))
            for task in talking:
                task.cancel()
            await eventually(lambda: all_sent(edge, devices), "everything is in Kafka and live again")
            standing = await edge.standing()
            edge.drain()
            await running
            centre = Centre()
            centre.append(await everything(near))
            for device in devices:
                await asyncio.to_thread(device.link.close)
            await far.close()
            await near.close()
    assert standing is not None
    samples = {(f"d{number}", "m"): device.said for number, device in enumerate(devices)}
    found = judge(samples, standing.totals.received, centre, standing.totals)
    print(standing.totals)  # noqa: T201 - how much came again
    assert not found.wrong(), found
    assert found.dropped == 0


async def all_sent(edge: EdgeService, devices: list[Device]) -> bool:
    standing, said = await edge.standing(), sum(len(device.said) for device in devices)
    return standing is not None and standing.totals.rolled_up == said and standing.outbox_records == 0


async def everything(log: Log) -> list[Record]:
    consumer = await log.subscribe([ROLLUPS], group=None, member="oracle")
    found: list[Record] = []
    quiet = 0
    while quiet < 3:
        more = await consumer.poll(10_000, 1.0)
        found += more
        quiet = 0 if more else quiet + 1
    await consumer.close()
    return found


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await holds():  # noqa: ASYNC110 - servers and devices set no event of ours
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def _true(value: bool) -> bool:  # noqa: FBT001 - what it says
    return value
