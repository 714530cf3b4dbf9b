"""Alertmanager's API v2: every alert to every replica, and again while it fires, since Alertmanager forgets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from analytics.alerts.http import Post, Trust
from analytics.alerts.network import Network
from analytics.alerts.notifier import GROUP_MOST, PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.webhook import alert_labels
from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import AlertmanagerConfig
    from ingest.runtime.clock import Clock

HOLD_S = 300.0
"""A firing alert holds in Alertmanager for so long without being sent again (its own default resolve_timeout)."""

REPEAT_MOST = 1000
"""Alerts in one request at the most."""


class Alertmanager:
    """Delivers to all replicas of one Alertmanager (docs/alerts_api.md there: no load balancer between)."""

    def __init__(self, config: AlertmanagerConfig, password: str, clock: Clock, network: Network | None = None) -> None:
        self.name, self.most_wait_s, self.resend_s = config.name, config.most_wait_s, config.resend_s
        self.group_most, self.is_tracker = GROUP_MOST, False
        self._clock = clock
        self._urls = [url.rstrip("/") + "/api/v2/alerts" for url in config.urls]
        self._auth = (config.username, password) if config.username else None
        self._post = Post(config.timeout_s, clock, network or Network(), Trust(config.ca_file, config.proxy))

    async def send(self, notification: Notification) -> None:
        """To every replica; one that takes it is enough, the others get it with the next repetition.

        Raises TemporarilyRefusedError, PermanentlyRefusedError when none took it.
        """
        await self._send(notification.alerts, notification.headers())

    async def repeat(self, alerts: Sequence[AlertEvent]) -> None:
        """All these again; sending an alert again is harmless. Raises as `send`."""
        for at in range(0, len(alerts), REPEAT_MOST):
            await self._send(alerts[at : at + REPEAT_MOST], {"Content-Type": "application/json"})

    async def close(self) -> None:
        """Close the connections."""
        await self._post.close()

    async def _send(self, alerts: Sequence[AlertEvent], headers: Mapping[str, str]) -> None:
        hold = self._clock.now_ms() + round((HOLD_S + self.resend_s) * 1000)
        body = msgspec.json.encode([_alert(alert, hold) for alert in alerts])
        tries = [self._post(url, body, headers, self._auth) for url in self._urls]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if len(errors) == len(outcomes):
            raise _weightiest(errors)


def _weightiest(errors: Sequence[BaseException]) -> BaseException:
    # A mistake of ours comes first; then, as long as one replica may still take it, it is tried again.
    refusals = (TemporarilyRefusedError, PermanentlyRefusedError)
    ours = [error for error in errors if not isinstance(error, refusals)]
    later = [error for error in errors if isinstance(error, TemporarilyRefusedError)]
    return [*ours, *later, *errors][0]


def _alert(alert: AlertEvent, hold: int) -> dict[str, Any]:
    resolved = alert.state is AlertState.RESOLVED
    return {
        "labels": alert_labels(alert) | {"fingerprint": alert.fingerprint},
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts_at),
        "endsAt": rfc3339(alert.ends_at if resolved else hold),
        "generatorURL": alert.annotations.get("link", ""),
    }
