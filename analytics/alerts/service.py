"""Alerts as services: their stage, and their delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.alerts.alertmanager import Alertmanager
from analytics.alerts.delivery import Delivery
from analytics.alerts.outbox import Outbox
from analytics.alerts.stage import AlertsStage
from analytics.alerts.webhook import Webhook
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.secrets import SecretError, read_secret
from ingest.runtime.worker import StageWorker

if TYPE_CHECKING:
    from pathlib import Path

    from analytics.alerts.config import AlertsConfig
    from analytics.alerts.notifier import Notifier
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.telemetry import Telemetry


def build_alerts(
    config: AlertsConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
    data_dir: Path,
) -> list[Service]:
    """The stage and the delivery, with their state in `data_dir`. Raises SecretError."""
    notifiers = _notifiers(config, clock)  # first: what is wrong with them is said before any file is opened
    stage = StageWorker(
        AlertsStage(config, gateways, telemetry),
        log=log,
        checkpoint=Checkpoint(data_dir / "alerts.db"),
        clock=clock,
        health=health,
        telemetry=telemetry,
        group="tidegate-alerts",
        member=config.member,
        tick_s=config.tick_s,
    )
    delivery = Delivery(
        Outbox(data_dir / "deliveries.db"),
        notifiers,
        log=log,
        clock=clock,
        health=health,
        telemetry=telemetry,
        member=config.member,
        group_wait_s=config.group_wait_s,
        forget_s=config.forget_s,
        tick_s=config.tick_s,
    )
    return [stage, delivery]


def _notifiers(config: AlertsConfig, clock: Clock) -> list[Notifier]:
    webhooks = [Webhook(webhook, _secret(webhook.secret_file), clock) for webhook in config.webhooks]
    managers = [
        Alertmanager(manager, _secret(manager.password_file) if manager.password_file else "", clock)
        for manager in config.alertmanagers
    ]
    return [*webhooks, *managers]


def _secret(path: str) -> str:
    secret = read_secret(path)
    if not secret:
        raise SecretError(f"{path}: found an empty file, expected a secret")
    return secret
