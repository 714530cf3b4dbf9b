"""The services that alerts need: the stage that decides, the delivery, what tells the rules, and a heartbeat where one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.alerts.announced import Announcer
from analytics.alerts.delivery import Delivery
from analytics.alerts.evidence import Illustrated
from analytics.alerts.heartbeat import Heartbeat
from analytics.alerts.outbox import Outbox
from analytics.alerts.receivers import build_receivers
from analytics.alerts.routes import Routes
from analytics.alerts.stage import AlertsStage
from analytics.alerts.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.config import AlertsConfig
    from analytics.rules.kinds import Rule
    from analytics.surroundings import Surroundings
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.service import Service
    from ingest.runtime.store.port import Store

ALIVE_S = 30.0
"""The topic of alerts is read several times a second: unread for so long, something stands still."""


def build_alerts(
    config: AlertsConfig,
    gateways: Gateways,
    within: Surroundings,
    *,
    written: Sequence[Rule] = (),
    store: Store | None = None,
) -> list[Service]:
    """The stage and the delivery, with their state in alerts.db and deliveries.db; curves come from `store`.

    Raises SecretError, ChatError.
    """
    notifiers = build_receivers(
        config, within.clock
    )  # first: what is wrong with them is said before any file is opened
    if store is not None:
        notifiers = [
            Illustrated(one, store, within.telemetry) if isinstance(one, Webhook) else one for one in notifiers
        ]
    stage = AlertsStage(config, gateways, within.telemetry, written)
    worker = within.worker(stage, "alerts.db", group="tidegate-alerts", member=config.member, tick_s=config.tick_s)
    delivery = Delivery(
        Outbox(within.data_dir / "deliveries.db"),
        notifiers,
        Routes(config.routes, [one.name for one in notifiers], config.default_receivers, config.repeat_s),
        log=within.log,
        clock=within.clock,
        health=within.health,
        telemetry=within.telemetry,
        member=config.member,
        group_wait_s=config.group_wait_s,
        forget_s=config.forget_s,
        tick_s=config.tick_s,
    )
    return [worker, delivery, Announcer(config, written, within), *_heartbeat(config, delivery, within)]


def _heartbeat(config: AlertsConfig, delivery: Delivery, within: Surroundings) -> list[Service]:
    settings = config.heartbeat
    if settings is None:
        return []

    def is_alive() -> bool:
        is_read = within.clock.monotonic() - delivery.took_at < settings.every_s + ALIVE_S
        return is_read and not {AlertsStage.name, Delivery.name} & within.health.reasons().keys()

    return [Heartbeat(settings, is_alive, clock=within.clock, health=within.health, network=config.network)]
