"""The gate as a service: its stage, its actuators, and the delivery of what they ask for."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.rollback.attempts import OrderAttempt, WebhookAttempt, secret_of
from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollback.orders import ORDER_SETTINGS, ORDERS, OwnerOrders
from analytics.rollback.sender import Sender
from analytics.rollback.webhook import CALL_SETTINGS, CALLS, RollbackWebhook
from analytics.rollouts.seal import Seal
from analytics.rollouts.stage import GateStage
from ingest.contract.topics import DEAD_SETTINGS, dead
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.secrets import load_private_key, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analytics.rollback.actuator import Actuator
    from analytics.rollouts.config import GateConfig
    from analytics.surroundings import Surroundings
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.worker import StageWorker


_TOPICS = {
    CALLS: CALL_SETTINGS,
    dead(CALLS): DEAD_SETTINGS,
    ORDERS: ORDER_SETTINGS,
    dead(ORDERS): DEAD_SETTINGS,
}


class GateService:
    """Runs the stage and the delivery of what its actuators ask for, to the webhook and the owners that are configured."""

    name = "gate"

    def __init__(self, worker: StageWorker, senders: Sequence[Sender], log: Log, health: Health) -> None:
        self._worker, self._senders, self._log, self._health = worker, senders, log, health
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Finish the step under way, save, and let `run` return."""
        self._draining.set()
        self._worker.drain()
        for sender in self._senders:
            sender.drain()

    async def run(self) -> None:
        """Until drained."""
        async with asyncio.TaskGroup() as tasks:
            if self._senders:
                await self._ensure_topics()
            for sender in self._senders:
                tasks.create_task(sender.run())
            tasks.create_task(self._worker.run())

    async def _ensure_topics(self) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        while not self._draining.is_set():
            try:
                await self._log.ensure_topics(_TOPICS)
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
            else:
                return
            await drained_within(self._draining, backoff.next())


def build_gate(config: GateConfig, gateways: Gateways, within: Surroundings) -> Service:
    """The gate with its state in gate.db. Raises SecretError for a key or secret that cannot be used."""
    key = load_private_key(config.signing_key_file)
    actuators: list[Actuator] = [MqttCommands(key)]
    senders: list[Sender] = []
    clock, log, health, telemetry = within.clock, within.log, within.health, within.telemetry
    shell: dict[str, Any] = {"log": log, "health": health, "telemetry": telemetry, "member": config.member}
    if config.webhook is not None:
        hook = config.webhook
        actuators.append(RollbackWebhook())
        attempt = WebhookAttempt(hook, read_secret(hook.secret_file), clock)
        senders.append(
            Sender("rollback-webhook", CALLS, attempt, timeout_s=hook.timeout_s, most_wait_s=hook.most_wait_s, **shell)
        )
    if config.owners:
        for owner in config.owners:
            secret_of(owner)  # what cannot be read is told at the start
        actuators.append(OwnerOrders())
        senders.append(Sender("rollback-orders", ORDERS, OrderAttempt(config.owners, secret_of, clock), **shell))
    worker = within.worker(
        GateStage(config, gateways, actuators, telemetry, halted=_kill_switch(config.kill_switch_file), seal=Seal(key)),
        "gate.db",
        group=config.group,
        member=config.member,
        tick_s=config.tick_s,
        max_records=config.max_records,
    )
    return GateService(worker, senders, log, health)


def _kill_switch(path: str) -> Callable[[], bool]:
    return (lambda: Path(path).exists()) if path else (lambda: False)
