"""The gate as a service: its stage, its actuators, and the delivery of what they ask for."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollback.sender import WebhookSender
from analytics.rollback.webhook import CALL_SETTINGS, CALLS, RollbackWebhook
from analytics.rollouts.stage import GateStage
from ingest.contract.topics import DEAD_SETTINGS, dead
from ingest.runtime.backoff import Backoff
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.secrets import load_private_key, read_secret
from ingest.runtime.worker import StageWorker

if TYPE_CHECKING:
    from pathlib import Path

    from analytics.rollback.actuator import Actuator
    from analytics.rollouts.config import GateConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.telemetry import Telemetry


class GateService:
    """Runs the stage and, where a webhook is configured, its delivery."""

    name = "gate"

    def __init__(self, worker: StageWorker, sender: WebhookSender | None, log: Log, health: Health) -> None:
        self._worker, self._sender, self._log, self._health = worker, sender, log, health
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Finish the step under way, save, and let `run` return."""
        self._draining.set()
        self._worker.drain()
        if self._sender:
            self._sender.drain()

    async def run(self) -> None:
        """Until drained."""
        async with asyncio.TaskGroup() as tasks:
            if self._sender:
                await self._ensure_topics()
                tasks.create_task(self._sender.run())
            tasks.create_task(self._worker.run())

    async def _ensure_topics(self) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        while not self._draining.is_set():
            try:
                await self._log.ensure_topics({CALLS: CALL_SETTINGS, dead(CALLS): DEAD_SETTINGS})
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
            else:
                return
            await _pause(self._draining, backoff.next())


def build_gate(
    config: GateConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
    data_dir: Path,
) -> Service:
    """The gate with its state in `data_dir/gate.db`. Raises SecretError for a key or secret that cannot be used."""
    actuators: list[Actuator] = [MqttCommands(load_private_key(config.signing_key_file))]
    sender = None
    if config.webhook is not None:
        actuators.append(RollbackWebhook())
        sender = WebhookSender(
            config.webhook,
            read_secret(config.webhook.secret_file),
            log=log,
            clock=clock,
            health=health,
            telemetry=telemetry,
            member=config.member,
        )
    worker = StageWorker(
        GateStage(config, gateways, actuators, telemetry),
        log=log,
        checkpoint=Checkpoint(data_dir / "gate.db"),
        clock=clock,
        health=health,
        telemetry=telemetry,
        group=config.group,
        member=config.member,
        tick_s=config.tick_s,
        max_records=config.max_records,
    )
    return GateService(worker, sender, log, health)


async def _pause(draining: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(draining.wait(), seconds)
    except TimeoutError:
        return
