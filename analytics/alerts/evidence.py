"""A receiver that is shown the curve of what alarms: read from the store when the notification leaves, as far as it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.curve import MOST_POINTS, Band, draw
from ingest.contract.events import AlertState
from ingest.contract.names import ALERT_CURVES
from ingest.runtime.store.port import SeriesQuery, StoreUnavailableError

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification, Notifier
    from ingest.contract.events import AlertEvent
    from ingest.runtime.store.port import Series, Store
    from ingest.runtime.telemetry import Telemetry

MOST_CURVES = 5
"""Of one notification so many alerts have a curve, the first ones."""
PATIENCE_S = 1.0
"""The store has so long to answer; then the notification leaves without."""
LOOK_BACK_MS = 86_400_000


class Illustrated:
    """A notifier whose notifications of firing alerts carry `curve`, an SVG, among their annotations."""

    def __init__(self, notifier: Notifier, store: Store, telemetry: Telemetry) -> None:
        self.name, self.most_wait_s = notifier.name, notifier.most_wait_s
        self.group_most, self.is_tracker = notifier.group_most, notifier.is_tracker
        self._notifier, self._store, self._telemetry = notifier, store, telemetry

    async def send(self, notification: Notification) -> None:
        """Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        await self._notifier.send(await self._illustrated(notification))

    async def close(self) -> None:
        """Release connections."""
        await self._notifier.close()

    async def _illustrated(self, notification: Notification) -> Notification:
        shown = [alert for alert in notification.alerts if alert.evidence and alert.state is AlertState.FIRING]
        try:
            async with asyncio.timeout(PATIENCE_S):
                curves = {alert.fingerprint: await self._curve(alert) for alert in shown[:MOST_CURVES]}
        except (StoreUnavailableError, TimeoutError):
            self._telemetry.count(ALERT_CURVES, outcome="unavailable")
            return notification
        alerts = [_with(alert, curves.get(alert.fingerprint, "")) for alert in notification.alerts]
        return msgspec.structs.replace(notification, alerts=alerts)

    async def _curve(self, alert: AlertEvent) -> str:
        evidence, since = alert.evidence, round(alert.numbers.get("since_ms", alert.starts_at))
        query = SeriesQuery(
            tenant=alert.tenant,
            site=evidence.get("site", ""),
            device=evidence.get("device", ""),
            metric=evidence.get("metric", ""),
            start=max(0, since - LOOK_BACK_MS),
            limit=MOST_POINTS * 10,
        )
        labels = tuple(sorted((name[6:], text) for name, text in evidence.items() if name.startswith("label_")))
        found = [one for one in await self._store.read(query) if one.labels == labels]
        curve = _drawn(found[0], alert, since) if found else ""
        self._telemetry.count(ALERT_CURVES, outcome="drawn" if curve else "no_windows")
        return curve


def _drawn(series: Series, alert: AlertEvent, since: int) -> str:
    numbers = alert.numbers
    expected = numbers.get("expected", 0.0)
    band = Band(expected, numbers.get("low", expected), numbers.get("high", expected), since)
    return draw(
        f"{series.metric} of {series.device} at {series.site}", series.start + series.width, series.mean(), band
    )


def _with(alert: AlertEvent, curve: str) -> AlertEvent:
    return msgspec.structs.replace(alert, annotations=alert.annotations | {"curve": curve}) if curve else alert
