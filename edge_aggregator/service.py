"""A gateway as a service: receivers → journal → acknowledgements → windows → outbox → log, and commands downstream."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.commands.consumer import POLL_S, DownConsumer
from edge_aggregator.commands.publisher import Publisher
from edge_aggregator.config import milliseconds
from edge_aggregator.core import Core
from edge_aggregator.forward import Forwarder, Signer
from edge_aggregator.intake import EdgeIntake
from edge_aggregator.live.observer import Observer
from edge_aggregator.live.recent import Recent
from edge_aggregator.live.server import LiveServer
from edge_aggregator.meters import Meters, tell_limits
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.pace import Pace
from edge_aggregator.pipeline import Pipeline
from edge_aggregator.receive.mqtt.downlink import PahoDownlink
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.receive.mqtt.reader import MqttReader
from edge_aggregator.recorder.recorder import Recorder
from edge_aggregator.reload import Shell, fixed
from edge_aggregator.rooms import open_rooms
from edge_aggregator.rules.service import AlarmDelivery
from edge_aggregator.storage import Storage
from edge_aggregator.thread import OneThread
from ingest.contract.commands import key_id
from ingest.contract.topics import COMMANDS, REQUESTS
from ingest.runtime.secrets import SecretError, load_private_key, parse_public_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from edge_aggregator.commands.consumer import Take
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.core import Standing
    from edge_aggregator.outbox.outbox import Waiting
    from edge_aggregator.receive.port import Downlink, Receiver
    from ingest.contract.records import Record
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

REQUESTS_POLL_S = 5.0
"""How long one look for requests waits at the most; one that comes ends it at once."""

FORWARD_S = 4.0
"""How long a draining gateway goes on sending."""

AWAY_S = 1.0
"""The same while the log is away: what waits is in the outbox."""


def build_edge(
    config: EdgeConfig,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
    receivers: Sequence[Receiver] | None = None,
    downlink: Downlink | None = None,
    storage: Storage | None = None,
) -> EdgeService:
    """A gateway that is not running yet.

    Raises SecretError for keys that cannot be used, ValueError when there is nothing to read from. Without `receivers`
    and `downlink`, the configuration's broker or listener is used.
    """
    if receivers is None or downlink is None:
        entrance = _entrance(config, clock)
        receivers, downlink = receivers or [entrance[0]], downlink or entrance[1]
    return EdgeService(Equipment(config, clock, log, health, telemetry, storage or Storage()), receivers, downlink)


def _entrance(config: EdgeConfig, clock: Clock) -> tuple[Receiver, Downlink]:
    if config.broker is not None:
        return MqttReader(config.broker, clock), PahoDownlink(config.broker, clock)
    if config.listener is not None:
        listener = MqttListener(config.listener, clock)
        return listener, listener
    raise ValueError("neither broker nor listener is given: name where devices are heard")


class ReloadRefusedError(ValueError):
    """Another configuration was not taken: the one before it is in force, as a whole."""


class Equipment(NamedTuple):
    """What a gateway works with."""

    config: EdgeConfig
    clock: Clock
    log: Log
    health: Health
    telemetry: Telemetry
    storage: Storage


class EdgeService:
    """A gateway. `receivers` are its ways in; `standing` says how full and how far everything is."""

    def __init__(self, equipment: Equipment, receivers: Sequence[Receiver], downlink: Downlink) -> None:
        self._has, self.receivers, self._downlink = equipment, receivers, downlink
        config = equipment.config
        self.name = f"edge {config.gateway}"
        self._key = load_private_key(config.key_file)
        self._signer = Signer(self._key, historical_after_ms=milliseconds(config.historical_after_s))
        self._centre_keys = parse_public_keys(config.centre_keys)
        self._thread = OneThread(self.name)
        self._draining = asyncio.Event()
        self._core: Core | None = None
        self._shell: Shell | None = None
        equipment.health.waiting(self.name, "starting: the journal is being read")

    def drain(self) -> None:
        """Take no more, commit and flush what was taken, send what can be sent, return from `run`."""
        self._draining.set()

    async def standing(self) -> Standing | None:
        """The account and how full everything is; None while the gateway does not run."""
        return await self._thread.run(self._core.standing) if self._core else None

    async def reload(self, config: EdgeConfig) -> None:
        """Work by another configuration from now on; open windows, leases and alarms go on.

        Raises ReloadRefusedError (and changes nothing) when it differs in what cannot change while the gateway runs, or
        when a key or secret cannot be read.
        """
        refused = fixed(self._has.config, config)
        if refused:
            raise ReloadRefusedError(f"{', '.join(f'edge.{field}' for field in refused)} cannot change while it runs")
        if self._core is None or self._shell is None:
            raise ReloadRefusedError("the gateway is not running yet, or is stopping")
        try:
            keys = parse_public_keys(config.centre_keys)
            self._shell.alarms.configure(config.alarms)
        except SecretError as error:
            raise ReloadRefusedError(str(error)) from error
        self._shell.reload(config)
        await self._thread.run(self._core.reload, config, keys)
        self._has = self._has._replace(config=config)
        tell_limits(self._has.telemetry, config)

    async def run(self) -> None:
        """Until drained. Raises StorageFailedError when the disk fails: the process must end then."""
        try:
            self._core = await self._thread.run(self._open)
            await self._run(self._core)
        finally:
            core, self._core, self._shell = self._core, None, None
            if core:
                await asyncio.shield(self._thread.run(core.close))
            self._thread.close()

    def _open(self) -> Core:
        has = self._has
        return Core(open_rooms(has.config, self._centre_keys, has.storage), has.telemetry)

    async def _run(self, core: Core) -> None:
        has, config = self._has, self._has.config
        intake = EdgeIntake(
            has.clock,
            most_bytes=config.intake_bytes,
            commit_bytes=config.commit_bytes,
            commit_samples=config.commit_samples,
            interval_s=config.commit_interval_s,
        )
        recent, meters = Recent(has.clock.monotonic()), Meters(has.telemetry)
        pace = Pace(most=config.backlog_bytes_per_s, patience_s=config.backlog_patience_s)
        forwarder = self._forwarder(core, pace, partial(_acknowledged, recent, meters, has.clock))
        alarms = self._alarms(core)

        def flushed() -> None:
            forwarder.more.set()
            alarms.more()

        meters.begin(await self._thread.run(core.standing), has.clock.now_ms())
        tell_limits(has.telemetry, config)
        pipeline = Pipeline(
            core,
            self._thread,
            intake,
            self.receivers,
            clock=has.clock,
            meters=meters,
            recent=recent,
            flush_s=config.flush_interval_s,
            flushed=flushed,
        )
        publisher = Publisher(
            core, self._thread, self._downlink, config.site, clock=has.clock, retry_s=config.command_retry_s
        )
        self._shell = Shell(intake, pipeline, self._signer, publisher, alarms, pace)
        inward = [*(receiver.run(intake) for receiver in self.receivers), *self._commands(core, forwarder, publisher)]
        inward += [*self._recorder(core, forwarder), alarms.run(), self._live(core, recent).run()]
        await self._until_drained(pipeline, forwarder, inward)

    async def _until_drained(
        self, pipeline: Pipeline, forwarder: Forwarder, inward: list[Coroutine[Any, Any, None]]
    ) -> None:
        for receiver in self.receivers:
            self._has.health.probe(f"{self.name} {receiver.name}", partial(_reason, receiver))
        self._has.health.ready(self.name)
        main, sending = asyncio.create_task(pipeline.run()), asyncio.create_task(forwarder.run())
        others = [asyncio.create_task(work) for work in inward]
        stop = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({stop, main, sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            _raise_ended([main, sending, *others])
            for receiver in self.receivers:
                _quiesce(receiver)
            pipeline.drain()
            await main
            forwarder.drain()
            await asyncio.wait({sending}, timeout=AWAY_S if forwarder.away else FORWARD_S)
        finally:
            await _cancel([stop, main, sending, *others])

    def _forwarder(self, core: Core, pace: Pace, told: Callable[[Sequence[Waiting]], None]) -> Forwarder:
        has = self._has
        part = f"{self.name} forward"
        return Forwarder(
            core, self._thread, has.log, self._signer, pace, clock=has.clock, health=has.health, part=part, told=told
        )

    def _alarms(self, core: Core) -> AlarmDelivery:
        has, config = self._has, self._has.config
        delivery = AlarmDelivery(
            core, self._thread, self._downlink, config.site, clock=has.clock, telemetry=has.telemetry
        )
        delivery.configure(config.alarms)
        return delivery

    def _commands(self, core: Core, forwarder: Forwarder, publisher: Publisher) -> list[Coroutine[Any, Any, None]]:

        async def take(records: Sequence[Record], now: int) -> None:
            await self._thread.run(core.take_commands, records, now)
            publisher.more.set()
            forwarder.more.set()

        consumer = self._down(COMMANDS, take, "commands", f"tidegate-edge-{self._has.config.gateway}")
        return [consumer.run(), _publishing(publisher, self._downlink)]

    def _recorder(self, core: Core, forwarder: Forwarder) -> list[Coroutine[Any, Any, None]]:
        has, recorder = self._has, self._has.config.recorder
        if not self._centre_keys and not recorder.keys:
            return []  # nobody may ask
        answering = Recorder(
            core,
            self._thread,
            has.log,
            self._key,
            key_id(self._key.public_key()),
            bytes_per_s=recorder.bytes_per_s,
            most_samples=recorder.most_samples,
            clock=has.clock,
            telemetry=has.telemetry,
            changed=forwarder.more.set,
        )
        group = f"tidegate-edge-{has.config.gateway}-requests"
        consumer = self._down(REQUESTS, answering.take, "requests", group, poll_s=REQUESTS_POLL_S)
        return [consumer.run(), answering.run()]

    def _live(self, core: Core, recent: Recent) -> LiveServer:
        has = self._has
        observer = Observer(core, self._thread, self.receivers, recent, clock=has.clock, health=has.health)
        return LiveServer(Path(has.config.data_dir), core, observer.status)

    def _down(self, topic: str, take: Take, part: str, group: str, poll_s: float = POLL_S) -> DownConsumer:
        has = self._has
        return DownConsumer(
            has.log,
            topic,
            take,
            group=group,
            member=has.config.gateway,
            clock=has.clock,
            health=has.health,
            part=f"{self.name} {part}",
            poll_s=poll_s,
        )


def _acknowledged(recent: Recent, meters: Meters, clock: Clock, waiting: Sequence[Waiting]) -> None:
    newest = max((one.created for one in waiting if one.kind is Kind.ROLLUPS), default=None)
    lag = None if newest is None else recent.acknowledged(newest, clock.now_ms())
    meters.acknowledged(sum(len(one.record.value or b"") for one in waiting), lag)


async def _publishing(publisher: Publisher, downlink: Downlink) -> None:
    if not isinstance(downlink, PahoDownlink):
        await publisher.run()
        return
    await downlink.start()
    try:
        await publisher.run()
    finally:
        await downlink.close()


def _quiesce(receiver: Receiver) -> None:
    # What was read can still be acknowledged; what has not been read is sent again to the next process.
    quiesce = getattr(receiver, "quiesce", None)
    if quiesce is not None:
        quiesce()


def _reason(receiver: Receiver) -> str:
    state = receiver.state()
    return "" if state == "connected" else state


def _raise_ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a part of the gateway ended by itself")


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
