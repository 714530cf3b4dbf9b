"""The webhook receiver: Alertmanager's webhook format (version 4) with our numbers, signed with HMAC-SHA256."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from analytics.alerts.http import Post, Trust
from analytics.alerts.network import Network
from analytics.alerts.notifier import GROUP_MOST
from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339
from ingest.runtime.webhooks import signature

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import WebhookConfig
    from ingest.runtime.clock import Clock

NEVER = "0001-01-01T00:00:00Z"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


class Webhook:
    """Delivers to one URL, which comes from the configuration only."""

    def __init__(self, config: WebhookConfig, secret: str, clock: Clock, network: Network | None = None) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = GROUP_MOST, False
        self._config, self._secret, self._clock = config, secret.encode(), clock
        self._post = Post(config.timeout_s, clock, network or Network(), Trust(config.ca_file, config.proxy))

    async def send(self, notification: Notification) -> None:
        """One POST. Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        body = msgspec.json.encode(payload(notification, self.name))
        await self._post(self._config.url, body, self._headers(notification, body))

    async def close(self) -> None:
        """Close the connections."""
        await self._post.close()

    def _headers(self, notification: Notification, body: bytes) -> dict[str, str]:
        timestamp = str(self._clock.now_ms() // 1000)
        return notification.headers() | {
            self._config.timestamp_header: timestamp,
            self._config.signature_header: signature(self._secret, timestamp, body),
        }


def payload(notification: Notification, receiver: str) -> dict[str, Any]:
    """The body: every field of Alertmanager's version 4, and per alert our numbers and idempotency key."""
    alerts = [alert_payload(alert) for alert in notification.alerts]
    firing = any(alert["status"] == "firing" for alert in alerts)
    group = notification.group or {"alertname": notification.name, "tenant": notification.tenant}
    named = ", ".join(f'{name}="{value}"' for name, value in group.items())
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{named}}}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": "",
        "alerts": alerts,
    }


def alert_payload(alert: AlertEvent) -> dict[str, Any]:
    """One alert."""
    resolved = alert.state is AlertState.RESOLVED
    return {
        "status": "resolved" if resolved else "firing",
        "labels": alert_labels(alert),
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.starts_at),
        "endsAt": rfc3339(alert.ends_at) if resolved else NEVER,
        "generatorURL": alert.annotations.get("link", ""),
        "fingerprint": alert.fingerprint,
        "numbers": alert.numbers,
        "idempotencyKey": alert.idempotency_key(),
    }


def alert_labels(alert: AlertEvent) -> dict[str, str]:
    """The alert's labels as Prometheus' world names them: letters, digits and underscores."""
    labels = {_NOT_IN_NAMES.sub("_", name): value for name, value in alert.labels.items()}
    return {"alertname": alert.name, "severity": alert.severity, "tenant": alert.tenant} | labels


def _common(all_of_them: list[dict[str, str]]) -> dict[str, str]:
    first, *rest = all_of_them
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}
