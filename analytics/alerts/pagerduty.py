"""PagerDuty's Events API v2: one event for each alert, named by its fingerprint, so that an event again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from analytics.alerts.http import Post, Trust
from analytics.alerts.network import Network
from analytics.alerts.telling import title
from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import PagerDutyConfig
    from ingest.runtime.clock import Clock

MOST_SUMMARY = 1024
_MOST_VALUE = 1000
_MOST_KEY = 255
_ACTIONS = {AlertState.RESOLVED: "resolve", AlertState.ACKNOWLEDGED: "acknowledge"}


class PagerDuty:
    """Delivers to one integration (its routing key)."""

    def __init__(self, config: PagerDutyConfig, routing_key: str, clock: Clock, network: Network | None = None) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = 1, True
        self._url, self._routing_key = config.url, routing_key
        self._post = Post(config.timeout_s, clock, network or Network(), Trust(config.ca_file, config.proxy))

    async def send(self, notification: Notification) -> None:
        """One event for each alert. Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        for alert in notification.alerts:
            body = msgspec.json.encode(event(alert, title(notification)) | {"routing_key": self._routing_key})
            await self._post(self._url, body, notification.headers())

    async def close(self) -> None:
        """Close the connections."""
        await self._post.close()


def event(alert: AlertEvent, summary: str) -> dict[str, Any]:
    """The body without the routing key."""
    action = _ACTIONS.get(alert.state, "trigger")
    found: dict[str, Any] = {
        "event_action": action,
        "dedup_key": f"tidegate/{alert.tenant}/{alert.fingerprint}"[:_MOST_KEY],
        "client": "tidegate",
    }
    if action != "trigger":
        return found
    link, runbook = alert.annotations.get("link", ""), alert.annotations.get("runbook", "")
    links = [{"href": runbook, "text": "runbook"}] if runbook.startswith("http") else []
    details: dict[str, Any] = {**alert.labels, **alert.annotations, **alert.numbers}
    found["payload"] = {
        "summary": summary[:MOST_SUMMARY],
        "source": alert.labels.get("device") or alert.labels.get("site") or alert.tenant,
        "severity": alert.severity,
        "timestamp": rfc3339(alert.starts_at),
        "component": alert.labels.get("device", ""),
        "group": alert.labels.get("site", ""),
        "class": alert.name,
        "custom_details": {name: _short(value) for name, value in details.items()},
    }
    return found | ({"client_url": link} if link else {}) | ({"links": links} if links else {})


def _short(value: Any) -> Any:
    return value[:_MOST_VALUE] if isinstance(value, str) else value
