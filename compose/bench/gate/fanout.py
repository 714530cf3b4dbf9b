"""From a decision to roll back to the devices, and their answers back: centre, gateway, broker and devices as processes.

The centre is this process: it signs a part of the wave, saves counters and commands in one transaction, and appends to the embedded log,
part by part, as the gate does.
The gateway is `tidegate edge run` with its defaults, the broker Mosquitto; all devices share one connection. One wave, no rate limit.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollback.recovery import new_recovery
from analytics.rollback.tracker import Wave, new_tracker
from compose.bench.children import line_of
from compose.bench.gate.crowd import CrowdPlan, device_name
from compose.bench.gateway import running_gateway, toml
from compose.bench.load import BenchFailedError
from compose.stack.endpoints import write_private
from compose.stack.stack import running_stack
from edge_aggregator.config import EdgeConfig
from edge_aggregator.receive.config import BrokerConfig
from ingest.contract.events import AckEvent, GatewayEvent
from ingest.contract.records import read_event
from ingest.contract.topics import ACKS, DEVICES, device_topic, every_topic
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import LogConfig
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key, public_key_text

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable

    from compose.stack.endpoints import MqttEndpoint
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Consumer

TENANT, SITE = "bench", "north"
_PATIENCE_S = 120.0
WHOLE_S = 600.0
"""For all rows together; a machine that needs longer measures nothing but itself."""
_REST_S = 2.0
"""Before each decision: the gateway has done with the wave before."""
_CLOCK = SystemClock()


class FanoutLoad(NamedTuple):
    """`waves` to all devices which answer late, as many to devices which answer at once, then `singles` to one device each; medians."""

    devices: int = 10_000
    waves: int = 3
    singles: int = 21


class FanoutFigures(NamedTuple):
    """Seconds since the decision.

    `command_fanout_s`: until the last command of a wave is published (and at the devices). `command_wave_ack_s`: until the answer of
    the last device of a wave is in the centre's log, when all answer at once. `command_ack_s`: until the answer of the one
    device that was commanded is in the centre's log.
    """

    command_fanout_s: float
    command_wave_ack_s: float
    command_ack_s: float


async def measure(load: FanoutLoad, folder: Path) -> FanoutFigures:
    """On a disk of choice. Raises BenchFailedError, also after `WHOLE_S`, and StackError."""
    place = Path(tempfile.mkdtemp(prefix="fanout-", dir=folder))
    try:
        with running_stack(place / "stack", ("mosquitto",), lambda _: None) as endpoints:
            async with asyncio.timeout(WHOLE_S):
                return await _measure(load, place, endpoints.mqtt)
    except TimeoutError as error:
        raise BenchFailedError(f"commands to a fleet: not done after {WHOLE_S:g} s") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _measure(load: FanoutLoad, place: Path, mqtt: MqttEndpoint) -> FanoutFigures:
    centre = Centre(place)
    await centre.log.ensure_topics(every_topic())
    async with AsyncExitStack() as around:
        around.push_async_callback(centre.log.close)
        await around.enter_async_context(running_gateway(_config(place, mqtt, centre), place / "output"))
        crowd = await around.enter_async_context(_crowd(load, mqtt))
        answers = await around.enter_async_context(Answers.of(centre.log))
        try:
            await centre.until_known(load.devices, crowd)
            wave = _Stage(centre, crowd, answers).wave
            published = [(await wave(f"wave-{n}", load.devices, "hold"))[0] for n in range(load.waves)]
            answered = [(await wave(f"answered-{n}", load.devices))[1] for n in range(load.waves)]
            alone = [(await wave(f"alone-{n}", 1))[1] for n in range(load.singles)]
        except TimeoutError as error:
            told = (place / "output").read_text(errors="replace")[-2000:]
            raise BenchFailedError(f"no answer in time; the gateway said:\n{told}") from error
    return FanoutFigures(*(round(statistics.median(figures), 3) for figures in (published, answered, alone)))


class _Stage(NamedTuple):
    centre: Centre
    crowd: Process
    answers: Answers

    async def wave(self, rollout: str, devices: int, how: str = "") -> tuple[float, float]:
        """How long the last command and the last answer took."""
        assert self.crowd.stdin is not None
        self.crowd.stdin.write(f"{how} {devices}\n".encode())
        await line_of(self.crowd)
        await _CLOCK.sleep(_REST_S if devices > 1 else 0.0)
        decided, names = await self.centre.decide(rollout, devices)
        answered = await self.answers.until(names)
        last = await line_of(self.crowd, _PATIENCE_S)
        return float(last["last_at"]) - decided, answered - decided


class Centre:
    """What the gate does with a decision, without the gate."""

    def __init__(self, place: Path) -> None:
        self.key, self.log = Ed25519PrivateKey.generate(), SqliteLog(place / "log.db", _CLOCK)
        self._actuator = MqttCommands(self.key)
        self._checkpoint = Checkpoint(place / "gate.db")

    async def decide(self, rollout: str, devices: int) -> tuple[float, set[str]]:
        """Decide on a rollback of so many devices, and see to it that their gateway can read the commands; when (monotonic s), and their names."""
        decided = _CLOCK.monotonic()
        decision, names = _decision(rollout, devices), set[str]()
        tracker = new_tracker(decision, (), new_recovery([], [], [], 0), settle_ms=0, now=decision.decided_at)
        while due := tracker.next_wave(Wave(), _CLOCK.now_ms()):
            records = self._actuator.carry_out(msgspec.structs.replace(decision, due=due), decision.decided_at, None)
            await asyncio.to_thread(self._checkpoint.save, {"mqtt": self._actuator.snapshot()}, {}, records)
            await self._append_unsent()
            names |= {dict(record.headers)["ce_id"].decode() for record in records}
        return decided, names

    async def _append_unsent(self) -> None:
        while (unsent := self._checkpoint.unsent()).records:
            await self.log.append(unsent.records)
            await asyncio.to_thread(self._checkpoint.sent, unsent.up_to)

    async def until_known(self, devices: int, crowd: Process) -> None:
        """Have the crowd introduce itself once the gateway hears it; return when it has told of all devices."""
        hearing, known = list[GatewayEvent](), set[bytes]()

        def take(record: Record) -> None:
            if b"/gateway:" not in record.key:
                known.add(record.key)
            elif (event := read_event(record, GatewayEvent)) and not event.cut_off:
                hearing.append(event)

        consumer = await self.log.subscribe([DEVICES], group=None, member="bench")
        await _read(consumer, take, lambda: bool(hearing))
        assert crowd.stdin is not None
        crowd.stdin.write(b"introduce\n")
        await _read(consumer, take, lambda: len(known) >= devices)


class Answers:
    """Reads what devices answered, from the log."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    @classmethod
    @asynccontextmanager
    async def of(cls, log: SqliteLog) -> AsyncIterator[Answers]:
        """All that is answered from now on."""
        consumer = await log.subscribe([ACKS], group=None, member="bench")
        try:
            yield cls(consumer)
        finally:
            await consumer.close()

    async def until(self, names: set[str]) -> float:
        """When (monotonic s) all of these commands were answered. Raises BenchFailedError when one was not done."""
        left = set(names)

        def take(record: Record) -> None:
            answer = read_event(record, AckEvent)
            if answer is None or answer.status != "done":
                raise BenchFailedError(f"an answer that is not done: {answer}")
            left.discard(answer.command)

        await _read(self._consumer, take, lambda: not left)
        return _CLOCK.monotonic()


async def _read(consumer: Consumer, take: Callable[[Record], object], enough: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not enough():
            for record in await consumer.poll(5_000, 1.0):
                take(record)


def _decision(rollout: str, devices: int) -> Decision:
    return Decision(
        rollout=rollout,
        tenant=TENANT,
        purpose=Purpose.ROLLBACK,
        version="1",
        digest="sha256:" + "ab" * 32,
        decided_at=_CLOCK.now_ms(),
        expiry_s=86_400.0,
        targets=[Target(SITE, device_name(number)) for number in range(devices)],
    )


def _config(place: Path, mqtt: MqttEndpoint, centre: Centre) -> Path:
    generate_private_key(place / "gateway.pem")
    write_private(place / "mqtt-password", mqtt.password.encode())
    edge = EdgeConfig(
        tenant=TENANT,
        site=SITE,
        gateway="gateway",
        key_file=str(place / "gateway.pem"),
        data_dir=str(place / "edge"),
        centre_keys=[public_key_text(centre.key.public_key())],
        broker=BrokerConfig(
            host=mqtt.host,
            port=mqtt.port,
            client_id="gateway",
            topics=[device_topic(SITE, "+", channel) for channel in ("telemetry", "state", "ack", "clock")],
            username=mqtt.username,
            password_file=str(place / "mqtt-password"),
        ),
    )
    sections = {"edge": edge, "log": LogConfig(kind="sqlite", path=str(place / "log.db"))}
    path = place / "edge.toml"
    path.write_text("".join(f"{name} = {toml(msgspec.to_builtins(one))}\n" for name, one in sections.items()))
    return path


@asynccontextmanager
async def _crowd(load: FanoutLoad, mqtt: MqttEndpoint) -> AsyncIterator[Process]:
    plan = CrowdPlan(
        site=SITE,
        devices=load.devices,
        port=mqtt.port,
        username=mqtt.device_username,
        password=mqtt.device_password,
    )
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", "compose.bench.gate.crowd", msgspec.json.encode(plan).decode()]
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    try:
        await line_of(process)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
