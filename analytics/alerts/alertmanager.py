"""Alertmanager's API v2: every alert to every replica, and again while it fires, since Alertmanager forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from analytics.alerts.http import client, post
from analytics.alerts.webhook import alert_labels
from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.config import AlertmanagerConfig
    from analytics.alerts.notifier import Notification
    from ingest.runtime.clock import Clock

HOLD_S = 300.0
"""A firing alert holds in Alertmanager for so long without being sent again (its own default resolve_timeout)."""


class Alertmanager:
    """Delivers to all replicas of one Alertmanager (docs/alerts_api.md there: no load balancer between)."""

    def __init__(self, config: AlertmanagerConfig, password: str, clock: Clock) -> None:
        self.name, self.most_wait_s, self.resend_s = config.name, config.most_wait_s, config.resend_s
        self._config, self._clock = config, clock
        self._auth = (config.username, password) if config.username else None
        self._http = client(config.timeout_s)

    async def send(self, notification: Notification) -> None:
        """To every replica. Raises TemporarilyRefusedError, PermanentlyRefusedError of the first that refuses."""
        await self.post(notification.alerts)

    async def post(self, alerts: Sequence[AlertEvent]) -> None:
        """POST /api/v2/alerts; posting an alert again is harmless."""
        hold = self._clock.now_ms() + round((HOLD_S + self.resend_s) * 1000)
        body = msgspec.json.encode([_alert(alert, hold) for alert in alerts])
        for url in self._config.urls:
            await post(
                self._http,
                url.rstrip("/") + "/api/v2/alerts",
                body,
                {"Content-Type": "application/json"},
                self._auth,
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _alert(alert: AlertEvent, hold: int) -> dict[str, Any]:
    resolved = alert.state is AlertState.RESOLVED
    return {
        "labels": alert_labels(alert) | {"fingerprint": alert.fingerprint},
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts_at),
        "endsAt": rfc3339(alert.ends_at if resolved else hold),
        "generatorURL": alert.annotations.get("link", ""),
    }
