"""Which devices have an anomaly just now: until it has left, their telemetry has not recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AnomalyStatus

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ingest.contract.events import AnomalyEvent

_DECODER = msgspec.msgpack.Decoder(dict[str, dict[str, list[str]]])


class ActiveAnomalies:
    """By tenant and device (`site/device`), the series that are anomalous; bounded by the series of the fleet."""

    def __init__(self) -> None:
        self._active: dict[str, dict[str, list[str]]] = {}

    def take(self, event: AnomalyEvent) -> None:
        """Note that a series' anomaly began, goes on or ended."""
        devices = self._active.setdefault(event.tenant, {})
        name = f"{event.site}/{event.device}"
        series = {*devices.pop(name, ()), _series(event)}
        if event.status is AnomalyStatus.LEFT:
            series.discard(_series(event))
        if series:
            devices[name] = sorted(series)

    def of(self, tenant: str) -> AbstractSet[str]:
        """The tenant's devices with an active anomaly."""
        return self._active.get(tenant, {}).keys()

    def snapshot(self) -> bytes:
        """All active anomalies."""
        return msgspec.msgpack.encode(self._active)

    def restore(self, part: bytes) -> None:
        """Continue with these."""
        self._active = _DECODER.decode(part)


def _series(event: AnomalyEvent) -> str:
    return event.metric + "".join(f",{name}={value}" for name, value in event.labels)
