"""Which sites are dark: nothing was heard of their gateway while we listened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.alerts.condition import Condition
    from ingest.contract.events import GatewayEvent

BACKLOG = 1000
"""So many records at once mean that more are waiting: the newest heartbeats may be among them."""


class Heard(msgspec.Struct):
    """When the newest heartbeat of a gateway was taken (ms, this process's clock)."""

    tenant: str
    site: str
    gateway: str
    at: int


class Sites:
    """Silence counts only while this process was there to hear; who was dark stays so until it is heard."""

    def __init__(self, dark_s: float) -> None:
        self.heard: dict[str, Heard] = {}
        self._dark_ms = dark_s * 1000
        self._listening_since = self._looked_at = 0

    def listen(self, now: int, taken: int) -> None:
        """`taken` records were read at `now` (ms). Who was away, or reads a backlog, has just begun to listen."""
        away_ms = now - self._looked_at
        if taken >= BACKLOG or not 0 <= away_ms <= self._dark_ms / 2:
            self._listening_since = now
        self._looked_at = now

    def hear(self, event: GatewayEvent, trace: str) -> Condition:
        """A heartbeat: whoever sends it is not dark."""
        name = f"{event.tenant}/{event.site}/{event.gateway}"
        self.heard[name] = Heard(event.tenant, event.site, event.gateway, self._looked_at)
        return rules.site_dark(event.tenant, event.site, event.gateway, silent_for_s=0.0, active=False, trace=trace)

    def dark(self, now: int) -> Iterator[Condition]:
        """Gateways that have not been heard for too long. Of the others nothing is said: not heard is not well."""
        for heard in self.heard.values():
            heard.at = min(heard.at, now)  # the clock may have been set back
            if now - max(heard.at, self._listening_since) > self._dark_ms:
                silent_s = (now - heard.at) / 1000
                yield rules.site_dark(heard.tenant, heard.site, heard.gateway, silent_for_s=silent_s, active=True)
