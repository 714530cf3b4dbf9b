"""From the centre to a device and back through a real broker with TLS: each has its own certificate, and its own topics alone."""

from __future__ import annotations

import asyncio
import queue
import random
import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.mqtt_commands import MqttCommands
from compose.fleet.agent import Address, Agent
from compose.fleet.device import Device
from compose.fleet.flash import FolderFlash
from compose.fleet.link import BrokerAddress, DeviceLink
from compose.fleet.model import DeviceModel
from compose.fleet.timekeeper import Timekeeper
from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.service import build_edge
from ingest.contract.commands import key_id, open_command
from ingest.contract.events import AckEvent
from ingest.contract.records import read_event
from ingest.contract.topics import ACKS, DEVICES, device_topic, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key, public_key_text
from ingest.runtime.telemetry import Telemetry
from tests.device_world import NEW, OLD, REGISTRY
from tests.edge_bench import SITE, edge_config
from tests.edge_site import FAST
from tests.mqtt_broker import broker
from tests.mqtt_intake import DEADLINE_S, until
from tests.mqtt_tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from compose.stack.endpoints import MqttEndpoint
    from edge_aggregator.service import EdgeService
    from ingest.contract.records import Record
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers
CLOCK = SystemClock()


class Site:
    """The site's authority and broker, its gateway, and the centre with its key."""

    def __init__(self, folder: Path, authority: Authority, port: int) -> None:
        self.folder, self.authority, self.port = folder, authority, port
        self.centre = Ed25519PrivateKey.generate()
        self.actuator = MqttCommands(self.centre)
        self.gateway = generate_private_key(folder / "gateway.pem").public_key()
        registered = GatewayConfig(gateway="gw-1", tenant="acme", site=SITE, public_key=public_key_text(self.gateway))
        self.gateways = Gateways([registered])
        self.log = SqliteLog(folder / "log.db", CLOCK)
        self.edge: EdgeService

    def address(self, device: str) -> BrokerAddress:
        return BrokerAddress(host="127.0.0.1", port=self.port, tls=self.authority.issue(device))

    def device(self, name: str) -> Device:
        """A device without a clock of its own."""
        chance, address = random.Random(name), Address("acme", SITE, name)
        flash, public = FolderFlash(self.folder, name), self.centre.public_key()
        return Device(
            site=SITE,
            name=name,
            model=DeviceModel(
                hardware="rev-a",
                group="pumps",
                firmware=OLD.version,
                registry=REGISTRY,
                random=chance,
                now=CLOCK.monotonic(),
            ),
            agent=Agent(address, {key_id(public): public}, REGISTRY, flash),
            registry=REGISTRY,
            flash=flash,
            address=self.address(name),
            clock=CLOCK,
            timekeeper=Timekeeper(address, {key_id(self.gateway): self.gateway}, chance),
            random=chance,
            interval_s=0.2,
        )

    async def decide(self, purpose: Purpose, version: str, digest: str, device: str) -> None:
        """The centre wants `device` on another version."""
        now = CLOCK.now_ms()
        decision = Decision(
            rollout="fw",
            tenant="acme",
            purpose=purpose,
            version=version,
            digest=digest,
            decided_at=now,
            expiry_s=600.0,
            targets=[Target(SITE, device)],
        )
        await self.log.append(self.actuator.carry_out(decision, now, None))

    async def records(self, topic: str) -> list[Record]:
        """What the gateway wrote; each record's signature is checked."""
        consumer = await self.log.subscribe([topic], group=None, member="centre")
        found: list[Record] = []
        while more := await consumer.poll(10_000, 0.0):
            found += more
        await consumer.close()
        for record in found:
            self.gateways.verify(record)
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def answers(self) -> list[tuple[str, str, str, str]]:
        acks = [read_event(record, AckEvent) for record in await self.records(ACKS)]
        return [(ack.device, ack.status.value, ack.firmware, ack.reason) for ack in acks if ack]

    async def knows(self, device: str) -> bool:
        return any(device.encode() in record.key for record in await self.records(DEVICES))


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    (folder / "certificates").mkdir()
    authority = Authority(folder / "certificates")
    with broker(folder, authority.issue("server"), SITE) as port:
        here = Site(folder, authority, port)
        await here.log.ensure_topics(every_topic())
        config = edge_config(
            folder,
            broker=BrokerConfig(
                port=port,
                client_id="gw-1",
                topics=[device_topic(SITE, "+", channel) for channel in ("telemetry", "state", "ack", "clock")],
                tls=authority.issue("gateway"),
            ),
            centre_keys=[public_key_text(here.centre.public_key())],
            **(FAST | {"lease_s": 60.0}),
        )
        health = Health()
        here.edge = build_edge(config, clock=CLOCK, log=here.log, health=health, telemetry=Telemetry("test"))
        running = asyncio.create_task(here.edge.run())
        try:
            await until(lambda: running.done() or not health.reasons())
            yield here
        finally:
            here.edge.drain()
            await running
            await here.log.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 - devices set no event of ours
            await asyncio.sleep(0.05)


async def test_a_device_is_commanded_forth_and_back(
    mosquitto: RunningServer[MqttEndpoint],
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        pump = here.device("pump-1")
        running = asyncio.create_task(pump.run())
        wanted: list[tuple[str, str, str, str]] = []

        async def answered() -> bool:
            return len(await here.answers()) == len(wanted)

        await eventually(partial(here.knows, "pump-1"))
        for purpose, before, after in ((Purpose.INSTALL, OLD, NEW), (Purpose.ROLLBACK, NEW, OLD)):
            await here.decide(purpose, after.version, after.digest(), "pump-1")
            wanted += [("pump-1", "accepted", before.version, ""), ("pump-1", "done", after.version, "")]
            await eventually(answered)
        assert await here.answers() == wanted
        assert pump.model.firmware == OLD.version
        pump.stop()
        await running


async def test_a_device_neither_hears_anothers_commands_nor_answers_for_it(
    mosquitto: RunningServer[MqttEndpoint],
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        overheard: queue.Queue[bytes] = queue.Queue()
        commanded: queue.Queue[bytes] = queue.Queue()
        spy = DeviceLink(here.address("pump-2"), "spy", device_topic(SITE, "pump-1", "command"), overheard.put)
        pump = DeviceLink(here.address("pump-1"), "pump-1", device_topic(SITE, "pump-1", "command"), commanded.put)
        honest = DeviceLink(here.address("pump-3"), "pump-3", device_topic(SITE, "pump-3", "command"), overheard.put)
        for link, name in ((pump, "pump-1"), (spy, "pump-2"), (honest, "pump-3")):
            await asyncio.to_thread(link.connect)
            link.publish(device_topic(SITE, name, "state"), b'{"state": "online"}')
        for name in ("pump-1", "pump-2", "pump-3"):
            await eventually(partial(here.knows, name))
        await here.decide(Purpose.INSTALL, NEW.version, NEW.digest(), "pump-1")
        sent = await asyncio.to_thread(commanded.get, timeout=DEADLINE_S)
        public = here.centre.public_key()
        command = open_command(sent, {key_id(public): public})
        done = msgspec.json.encode({"command": command.command, "status": "done"})
        forged = msgspec.json.encode({"command": command.command, "status": "failed", "reason": "forged"})

        async def rejected() -> bool:
            standing = await here.edge.standing()
            return standing is not None and standing.answers_rejected.get("unknown_command") == 1

        spy.publish(device_topic(SITE, "pump-1", "ack"), forged)  # the broker drops it
        honest.publish(device_topic(SITE, "pump-3", "ack"), forged)  # the gateway does not take it
        await eventually(rejected)
        assert (await here.answers(), overheard.qsize()) == ([], 0)
        pump.publish(device_topic(SITE, "pump-1", "ack"), done)
        await eventually(partial(_answered, here))
        assert await here.answers() == [("pump-1", "done", "", "")]
        assert overheard.empty()
        for link in (spy, pump, honest):
            await asyncio.to_thread(link.close)


async def _answered(here: Site) -> bool:
    return bool(await here.answers())


async def test_who_shows_no_certificate_of_the_site_is_not_let_in(
    mosquitto: RunningServer[MqttEndpoint],
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with site(tmp_path) as here:
        stranger = Authority(tmp_path / "elsewhere").issue("pump-1")
        own = ssl.create_default_context(cafile=here.authority.file)
        foreign = ssl.create_default_context(cafile=here.authority.file)
        foreign.load_cert_chain(stranger.cert_file or "", stranger.key_file)
        assert await connack(here.port, own) == b""
        assert await connack(here.port, foreign) == b""
        known, files = ssl.create_default_context(cafile=here.authority.file), here.authority.issue("pump-1")
        known.load_cert_chain(files.cert_file or "", files.key_file)
        assert await connack(here.port, known) == b"\x20\x02\x00\x00"


async def connack(port: int, context: ssl.SSLContext) -> bytes:
    """What the broker answers to CONNECT; nothing when it hangs up."""
    hello: Any = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(hello)
        answer = await reader.read(4)
        writer.close()
        await writer.wait_closed()
    except (OSError, ssl.SSLError):
        return b""
    return answer
