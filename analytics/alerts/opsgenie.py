"""Opsgenie's alert API v2: one alert for each of ours, its alias the fingerprint, so that a request again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from analytics.alerts.http import Post, Trust
from analytics.alerts.network import Network
from analytics.alerts.telling import text, title
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import OpsgenieConfig
    from ingest.runtime.clock import Clock

MOST_MESSAGE, MOST_DESCRIPTION, MOST_DETAIL = 130, 15_000, 1000
PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}
_VERBS = {AlertState.RESOLVED: "close", AlertState.ACKNOWLEDGED: "acknowledge"}


class Opsgenie:
    """Delivers with one API key."""

    def __init__(self, config: OpsgenieConfig, api_key: str, clock: Clock, network: Network | None = None) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = 1, True
        self._url, self._key, self._responders = config.url.rstrip("/") + "/v2/alerts", api_key, config.responders
        self._post = Post(config.timeout_s, clock, network or Network(), Trust(config.ca_file, config.proxy))

    async def send(self, notification: Notification) -> None:
        """One request for each alert. Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        headers = notification.headers() | {"Authorization": f"GenieKey {self._key}"}
        for alert in notification.alerts:
            verb = _VERBS.get(alert.state)
            alias = quote(_alias(alert), safe="")
            url = f"{self._url}/{alias}/{verb}?identifierType=alias" if verb else self._url
            body = {"source": "tidegate"} if verb else self._created(alert, notification)
            await self._post(url, msgspec.json.encode(body), headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._post.close()

    def _created(self, alert: AlertEvent, notification: Notification) -> dict[str, Any]:
        details = {**alert.labels, **alert.annotations, **{name: str(value) for name, value in alert.numbers.items()}}
        return {
            "alias": _alias(alert),
            "message": title(notification)[:MOST_MESSAGE],
            "description": text(notification)[:MOST_DESCRIPTION],
            "details": {name: value[:MOST_DETAIL] for name, value in details.items()},
            "source": "tidegate",
            "entity": alert.labels.get("device") or alert.labels.get("site", ""),
            "tags": [alert.name, alert.severity],
            "priority": PRIORITIES[alert.severity],
        } | ({"responders": [{"name": name, "type": "team"} for name in self._responders]} if self._responders else {})


def _alias(alert: AlertEvent) -> str:
    return f"tidegate/{alert.tenant}/{alert.fingerprint}"
