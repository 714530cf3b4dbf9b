"""The alerts of one tenant: every active one, and the newest of those that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable

_RANK = {AlertState.FIRING: 0, AlertState.PENDING: 1, AlertState.RESOLVED: 2}
_EVICT_SHARE = 10
SEVERITIES = ("critical", "error", "warning", "info")


class AlertBook:
    """Alerts by fingerprint, at most about `limit`; what ended longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._alerts: dict[str, AlertEvent] = {}

    def __len__(self) -> int:
        return len(self._alerts)

    def get(self, fingerprint: str) -> AlertEvent | None:
        """One alert."""
        return self._alerts.get(fingerprint)

    def put(self, alert: AlertEvent) -> str:
        """Take an alert's change; returns what became of it: taken or stale."""
        before = self._alerts.get(alert.fingerprint)
        if before is not None and alert.changed_at < before.changed_at:
            return "stale"
        self._alerts[alert.fingerprint] = alert
        if len(self._alerts) > self._limit:
            self._evict()
        return "taken"

    def remove(self, fingerprint: str) -> bool:
        """Forget an alert; whether there was one."""
        return self._alerts.pop(fingerprint, None) is not None

    def fingerprints(self) -> Iterable[str]:
        """All that are known."""
        return self._alerts.keys()

    def list(self, state: AlertState | None, limit: int) -> list[AlertEvent]:
        """Up to `limit` alerts: firing first, then by severity, then the newest change first."""
        chosen = [a for a in self._alerts.values() if state is None or a.state == state]
        chosen.sort(key=lambda a: (_RANK[a.state], _severity_rank(a.severity), -a.changed_at, a.fingerprint))
        return chosen[:limit]

    def counts(self) -> dict[str, int]:
        """How many alerts are in which state."""
        counts: dict[str, int] = {}
        for alert in self._alerts.values():
            counts[alert.state] = counts.get(alert.state, 0) + 1
        return counts

    def _evict(self) -> None:
        # A tenth at once, so that a full book is not sorted for every alert.
        ranked = sorted(self._alerts.values(), key=lambda a: (-_RANK[a.state], a.changed_at))
        for alert in ranked[: max(1, self._limit // _EVICT_SHARE)]:
            del self._alerts[alert.fingerprint]


def _severity_rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
