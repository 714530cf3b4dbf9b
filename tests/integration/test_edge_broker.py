"""A gateway at a real broker: samples in, commands down, answers up, and a broker that restarts meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compose.fleet.link import BrokerAddress, DeviceLink
from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.service import build_edge
from ingest.contract.batch_wire import decode_batch
from ingest.contract.commands import Command, key_id, sign_command
from ingest.contract.events import AckEvent, DeviceEvent
from ingest.contract.records import Outgoing, Record, read_event
from ingest.contract.topics import ACKS, COMMANDS, DEVICES, ROLLUPS, device_topic, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key, public_key_text
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import Sample, check_ledger, edge_config, final_rollups, naive_rollups
from tests.edge_site import FAST
from tests.mqtt_intake import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from compose.stack.endpoints import MqttEndpoint
    from edge_aggregator.config import EdgeConfig
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers
CLOCK = SystemClock()
CENTRE = Ed25519PrivateKey.generate()


class Device:
    """A device that keeps its connection, and counts what it sent."""

    def __init__(self, endpoint: MqttEndpoint, site: str) -> None:
        self.site, self.sent = site, list[Sample]()
        self.commands: list[bytes] = []
        address = BrokerAddress(
            host=endpoint.host,
            port=endpoint.port,
            username=endpoint.device_username,
            password=endpoint.device_password,
        )
        self.link = DeviceLink(address, f"pump-{site}", self.topic("command"), self.commands.append)
        self.link.connect()
        self.say("state", retain=True, state="online", firmware="1.0", boot="b1")

    def topic(self, channel: str) -> str:
        return device_topic(self.site, "pump", channel)

    def say(self, channel: str, *, retain: bool = False, **document: Any) -> None:
        self.link.publish(self.topic(channel), msgspec.json.encode(document), retain=retain)

    async def report(self, rounds: int) -> None:
        for number in range(rounds):
            ts = CLOCK.now_ms()
            self.sent.append(Sample("pump", "t", ts, float(number)))
            self.say("telemetry", ts=ts, metrics={"t": float(number)})
            await asyncio.sleep(0.05)


def config_at(endpoint: MqttEndpoint, site: str, folder: Path) -> EdgeConfig:
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(endpoint.password)
    broker = BrokerConfig(
        host=endpoint.host,
        port=endpoint.port,
        client_id=f"gateway-{site}",
        topics=[device_topic(site, "+", channel) for channel in ("telemetry", "state", "ack")],
        username=endpoint.username,
        password_file=str(password),
    )
    keys = [public_key_text(CENTRE.public_key())]
    return edge_config(folder, site=site, broker=broker, centre_keys=keys, **(FAST | {"lease_s": 20.0}))


async def records(log: SqliteLog, topic: str) -> list[Record]:
    consumer = await log.subscribe([topic], group=None, member="test")
    found: list[Record] = []
    while more := await consumer.poll(10_000, 0.0):
        found += more
    await consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - servers and devices set no event of ours
            await asyncio.sleep(0.05)


def signed(site: str) -> bytes:
    command = Command(
        command="c1",
        kind="install",
        tenant="acme",
        site=site,
        device="pump",
        rollout="r1",
        key=key_id(CENTRE.public_key()),
        counter=1,
        issued=CLOCK.now_ms(),
        expires=CLOCK.now_ms() + 60_000,
        version="2.0",
        digest="sha256:00",
    )
    return msgspec.json.encode(sign_command(command, CENTRE))


async def test_a_site_at_a_broker_that_restarts(mosquitto: RunningServer[MqttEndpoint], tmp_path: Path) -> None:
    site, health = f"site-{uuid.uuid4().hex[:8]}", Health()
    generate_private_key(tmp_path / "gateway.pem")
    log = SqliteLog(tmp_path / "log.db", CLOCK)
    await log.ensure_topics(every_topic())
    edge = build_edge(
        config_at(mosquitto.endpoint, site, tmp_path), clock=CLOCK, log=log, health=health, telemetry=Telemetry("test")
    )
    device = await asyncio.to_thread(Device, mosquitto.endpoint, site)
    running = asyncio.create_task(edge.run())

    async def all_rolled_up() -> bool:
        standing = await edge.standing()
        return standing is not None and standing.totals.rolled_up == len(device.sent) and standing.outbox_records == 0

    async def answered() -> bool:
        answers = [read_event(record, AckEvent) for record in await records(log, ACKS)]
        return [(a.command, a.status.value) for a in answers if a] == [("c1", "done")]

    async def ready(*, wanted: bool) -> bool:
        return (not health.reasons()) == wanted

    await eventually(lambda: ready(wanted=True))
    await device.report(20)
    await eventually(all_rolled_up)
    await asyncio.to_thread(mosquitto.stop)
    await eventually(lambda: ready(wanted=False))
    await asyncio.to_thread(mosquitto.start)
    await eventually(lambda: ready(wanted=True))
    await device.report(20)
    await eventually(all_rolled_up)
    sent = signed(site)
    await log.append([Outgoing(COMMANDS, site.encode(), sent)])
    await eventually(lambda: _has(device.commands))
    device.say("ack", command="c1", status="done")
    await eventually(answered)
    edge.drain()
    await running
    await asyncio.to_thread(device.link.close)
    assert set(device.commands) == {sent}
    batches = [decode_batch(record.value or b"") for record in await records(log, ROLLUPS)]
    assert final_rollups(batches) == naive_rollups(device.sent, {}, 1000)
    check_ledger(batches)
    events = [read_event(r, DeviceEvent) for r in await records(log, DEVICES) if b"gateway:" not in r.key]
    assert [event.change.value for event in events if event] == ["first_seen"]
    await log.close()


async def _has(things: list[bytes]) -> bool:
    return bool(things)
