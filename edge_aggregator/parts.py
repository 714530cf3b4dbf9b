"""The parts of a running gateway around its core: what sends, answers, publishes and is watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.commands.consumer import POLL_S, DownConsumer
from edge_aggregator.commands.publisher import Publisher
from edge_aggregator.commands.time_giver import TimeGiver
from edge_aggregator.commands.verify import verify
from edge_aggregator.devices.registry import Site
from edge_aggregator.entrance import publishing
from edge_aggregator.forward import Forwarder, Signer
from edge_aggregator.intake import EdgeIntake
from edge_aggregator.live.observer import Observer
from edge_aggregator.live.server import LiveServer
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.recorder.recorder import Recorder
from edge_aggregator.rules.service import AlarmDelivery
from ingest.contract.commands import key_id
from ingest.contract.topics import COMMANDS, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_aggregator.commands.consumer import Take
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.core import Core
    from edge_aggregator.live.recent import Recent
    from edge_aggregator.meters import Meters
    from edge_aggregator.outbox.outbox import Waiting
    from edge_aggregator.outbox.pace import Pace
    from edge_aggregator.receive.port import Downlink, Receiver
    from edge_aggregator.storage import Storage
    from edge_aggregator.thread import OneThread
    from ingest.contract.records import Record
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

REQUESTS_POLL_S = 5.0
"""How long one look for requests waits at the most; one that comes ends it at once."""


class Equipment(NamedTuple):
    """What a gateway works with."""

    config: EdgeConfig
    clock: Clock
    log: Log
    health: Health
    telemetry: Telemetry
    storage: Storage


class Parts:
    """Makes the parts; `name` is the gateway's in health and errors."""

    def __init__(self, equipment: Equipment, core: Core, thread: OneThread, downlink: Downlink, name: str) -> None:
        self._has, self._core, self._thread, self._downlink, self._name = equipment, core, thread, downlink, name

    def intake(self) -> EdgeIntake:
        """What receivers hand their messages to."""
        config = self._has.config
        return EdgeIntake(
            self._has.clock,
            most_bytes=config.intake_bytes,
            commit_bytes=config.commit_bytes,
            commit_samples=config.commit_samples,
            interval_s=config.commit_interval_s,
        )

    def forwarder(self, signer: Signer, pace: Pace, told: Callable[[Sequence[Waiting]], None]) -> Forwarder:
        """The way up."""
        has, part = self._has, f"{self._name} forward"
        return Forwarder(
            self._core, self._thread, has.log, signer, pace, clock=has.clock, health=has.health, part=part, told=told
        )

    def alarms(self) -> AlarmDelivery:
        """Who on the site hears of alarms."""
        has = self._has
        delivery = AlarmDelivery(
            self._core, self._thread, self._downlink, has.config.site, clock=has.clock, telemetry=has.telemetry
        )
        delivery.configure(has.config.alarms)
        return delivery

    def publisher(self) -> Publisher:
        """What brings commands to devices."""
        has = self._has
        return Publisher(
            self._core,
            self._thread,
            self._downlink,
            has.config.site,
            clock=has.clock,
            retry_s=has.config.command_retry_s,
        )

    def time_giver(self, key: Ed25519PrivateKey) -> TimeGiver:
        """What tells devices the time."""
        config = self._has.config
        site = Site(config.tenant, config.site, config.gateway)
        return TimeGiver(key, site, self._downlink, self._has.clock)

    def commands(self, publisher: Publisher, more: Callable[[], None]) -> list[Coroutine[Any, Any, None]]:
        """Commands from the centre and their way to devices; `more()` when the outbox may have something new."""

        async def take(records: Sequence[Record], now: int) -> None:
            verified = await verify(self._core.desk, records)
            await self._thread.run(self._core.take_commands, verified, now)
            publisher.more.set()
            more()

        consumer = self._down(COMMANDS, take, "commands", f"tidegate-edge-{self._has.config.gateway}")
        return [consumer.run(), publishing(publisher, self._downlink)]

    def recorder(self, key: Ed25519PrivateKey, more: Callable[[], None]) -> list[Coroutine[Any, Any, None]]:
        """The flight recorder, where somebody may ask."""
        has, recorder = self._has, self._has.config.recorder
        if not has.config.centre_keys and not recorder.keys:
            return []
        answering = Recorder(
            self._core,
            self._thread,
            has.log,
            key,
            key_id(key.public_key()),
            bytes_per_s=recorder.bytes_per_s,
            most_samples=recorder.most_samples,
            clock=has.clock,
            telemetry=has.telemetry,
            changed=more,
        )
        group = f"tidegate-edge-{has.config.gateway}-requests"
        consumer = self._down(REQUESTS, answering.take, "requests", group, poll_s=REQUESTS_POLL_S)
        return [consumer.run(), answering.run()]

    def live(self, receivers: Sequence[Receiver], recent: Recent) -> LiveServer:
        """The local socket for `edge status` and `tap`."""
        has = self._has
        observer = Observer(self._core, self._thread, receivers, recent, clock=has.clock, health=has.health)
        return LiveServer(Path(has.config.data_dir), self._core, observer.status)

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
            part=f"{self._name} {part}",
            poll_s=poll_s,
        )


def acknowledged(recent: Recent, meters: Meters, clock: Clock, waiting: Sequence[Waiting]) -> None:
    """Tell the metrics and `edge status` what Kafka has taken."""
    newest = max((one.created for one in waiting if one.kind is Kind.ROLLUPS), default=None)
    lag = None if newest is None else recent.acknowledged(newest, clock.now_ms())
    meters.acknowledged(sum(len(one.record.value or b"") for one in waiting), lag)
