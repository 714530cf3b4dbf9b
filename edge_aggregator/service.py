"""A gateway as a service: receivers → journal → acknowledgements → windows → outbox → log, and commands downstream."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from edge_aggregator.config import milliseconds
from edge_aggregator.core import Core
from edge_aggregator.entrance import open_entrance, quiesce, reason_of
from edge_aggregator.forward import Forwarder, Signer
from edge_aggregator.live.recent import Recent
from edge_aggregator.meters import Meters, tell_limits
from edge_aggregator.outbox.pace import Pace
from edge_aggregator.parts import Equipment, Parts, acknowledged
from edge_aggregator.pipeline import Pipeline
from edge_aggregator.reload import Shell, fixed
from edge_aggregator.rooms import open_rooms
from edge_aggregator.storage import Storage
from edge_aggregator.thread import OneThread
from ingest.runtime.secrets import SecretError, load_private_key, parse_public_keys

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.core import Standing
    from edge_aggregator.receive.port import Downlink, Receiver
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

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
        entrance = open_entrance(config, clock)
        receivers, downlink = receivers or [entrance[0]], downlink or entrance[1]
    return EdgeService(Equipment(config, clock, log, health, telemetry, storage or Storage()), receivers, downlink)


class ReloadRefusedError(ValueError):
    """Another configuration was not taken: the one before it is in force, as a whole."""


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
        parts = Parts(has, core, self._thread, self._downlink, self.name)
        intake, publisher, alarms = parts.intake(), parts.publisher(), parts.alarms()
        timegiver = parts.time_giver(self._key)
        recent, meters = Recent(has.clock.monotonic()), Meters(has.telemetry)
        pace = Pace(most=config.backlog_bytes_per_s, patience_s=config.backlog_patience_s)
        forwarder = parts.forwarder(self._signer, pace, partial(acknowledged, recent, meters, has.clock))
        more = forwarder.more.set

        def answered() -> None:
            more()
            publisher.more.set()

        def flushed() -> None:
            answered()  # or expired
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
            asked=timegiver.asked,
            answered=answered,
        )
        self._shell = Shell(intake, pipeline, self._signer, publisher, alarms, pace)
        inward = [*(receiver.run(intake) for receiver in self.receivers), *parts.commands(publisher, more)]
        inward += [
            *parts.recorder(self._key, more),
            alarms.run(),
            timegiver.run(),
            parts.live(self.receivers, recent).run(),
        ]
        await self._until_drained(pipeline, forwarder, inward)

    async def _until_drained(
        self, pipeline: Pipeline, forwarder: Forwarder, inward: list[Coroutine[Any, Any, None]]
    ) -> None:
        for receiver in self.receivers:
            self._has.health.probe(f"{self.name} {receiver.name}", partial(reason_of, receiver))
        self._has.health.ready(self.name)
        main, sending = asyncio.create_task(pipeline.run()), asyncio.create_task(forwarder.run())
        others = [asyncio.create_task(work) for work in inward]
        stop = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({stop, main, sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            _raise_ended([main, sending, *others])
            for receiver in self.receivers:
                quiesce(receiver)
            pipeline.drain()
            await main
            forwarder.drain()
            await asyncio.wait({sending}, timeout=AWAY_S if forwarder.away else FORWARD_S)
        finally:
            await _cancel([stop, main, sending, *others])


def _raise_ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
            raise RuntimeError("a part of the gateway ended by itself")


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
