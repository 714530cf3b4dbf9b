"""Both ways of alarms out of the gateway, as one part of it; the webhook may change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from edge_aggregator.rules.deliver import AlarmSender, Panel
from edge_aggregator.rules.queue import Target
from ingest.contract import names
from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    from edge_aggregator.core import Core
    from edge_aggregator.receive.port import Downlink
    from edge_aggregator.rules.config import AlarmsConfig, AlarmWebhookConfig
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock
    from ingest.runtime.telemetry import Telemetry


class AlarmDelivery:
    """Tells the panel and, where there is one, the webhook. Raises SecretError for a secret that cannot be read."""

    def __init__(
        self, core: Core, thread: OneThread, downlink: Downlink, site: str, *, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._core, self._thread, self._clock, self._telemetry = core, thread, clock, telemetry
        self._panel = AlarmSender(Target.MQTT, Panel(downlink, site), core, thread, clock)
        self._hook: AlarmSender | None = None
        self._secret = ""
        self._config: AlarmWebhookConfig | None = None
        self._changed = asyncio.Event()

    def configure(self, config: AlarmsConfig) -> None:
        """Who is told from now on."""
        self._secret = read_secret(config.webhook.secret_file) if config.webhook else ""
        self._config = config.webhook
        self._changed.set()

    def more(self) -> None:
        """There may be something new to tell."""
        for sender in self._senders():
            sender.more.set()
        self._count()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._panel.run())
            while True:
                self._changed.clear()
                hook = tasks.create_task(self._run_webhook(self._config))
                try:
                    await self._changed.wait()
                finally:
                    hook.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await hook

    async def _run_webhook(self, config: AlarmWebhookConfig | None) -> None:
        if config is None:
            return
        from edge_aggregator.rules.webhook import Webhook  # noqa: PLC0415 - a gateway without one starts sooner

        webhook = Webhook(config, self._secret, self._clock)
        self._hook = AlarmSender(
            Target.WEBHOOK, webhook, self._core, self._thread, self._clock, most_wait_s=config.most_wait_s
        )
        try:
            await self._hook.run()
        finally:
            await webhook.close()

    def _senders(self) -> list[AlarmSender]:
        return [self._panel, *([self._hook] if self._hook else [])]

    def _count(self) -> None:
        for sender in self._senders():
            outcomes, sender.outcomes = sender.outcomes, type(sender.outcomes)()
            for outcome, count in outcomes.items():
                self._telemetry.count(names.EDGE_ALARM_DELIVERIES, count, target=sender.target.value, outcome=outcome)
