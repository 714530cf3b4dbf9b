"""The alerts of one tenant: every active one, and the newest of those that ended."""

from __future__ import annotations

from collections import Counter
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from dashboards.api.ordered import Key, Ordered
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable

_RANK = {
    AlertState.FIRING: 0,
    AlertState.STALE: 1,
    AlertState.ACKNOWLEDGED: 2,
    AlertState.SUPPRESSED: 3,
    AlertState.PENDING: 4,
    AlertState.RESOLVED: 5,
}
_EVICT_SHARE = 10
SEVERITIES = ("critical", "error", "warning", "info")


class AlertBook:
    """Alerts by fingerprint, at most about `limit`; what ended longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._alerts: dict[str, AlertEvent] = {}
        self._order = Ordered()
        self._states: dict[str, Counter[AlertState]] = {}

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
        self.remove(alert.fingerprint)
        self._alerts[alert.fingerprint] = alert
        self._order.add(place_of(alert))
        self._states.setdefault(alert.name, Counter())[alert.state] += 1
        if len(self._alerts) > self._limit:
            self._evict()
        return "taken"

    def remove(self, fingerprint: str) -> bool:
        """Forget an alert; whether there was one."""
        known = self._alerts.pop(fingerprint, None)
        if known is not None:
            self._order.remove(place_of(known))
            self._uncount(known)
        return known is not None

    def fingerprints(self) -> Iterable[str]:
        """All that are known."""
        return self._alerts.keys()

    def every(self) -> Iterable[AlertEvent]:
        """All that are known, in no order."""
        return self._alerts.values()

    def list(self, state: AlertState | None, limit: int, after: Key | None = None) -> list[AlertEvent]:
        """Up to `limit` alerts behind `after` (a `place_of`): firing first, then by severity, then the newest change first."""
        if state is not None and after is None:
            after = (_RANK[state],)
        found = (self._alerts[key[-1]] for key in self._order.behind(after))
        return list(islice(takewhile(lambda alert: state in (None, alert.state), found), limit))

    def counts(self) -> dict[str, int]:
        """How many alerts are in which state."""
        whole: Counter[str] = Counter()
        for states in self._states.values():
            whole.update(states)
        return dict(whole)

    def counts_of(self, rule: str) -> dict[AlertState, int]:
        """How many alerts of a rule are in which state, the ones that need a look first."""
        return dict(sorted(self._states.get(rule, {}).items(), key=lambda known: _RANK[known[0]]))

    def _uncount(self, alert: AlertEvent) -> None:
        states = self._states[alert.name]
        states[alert.state] -= 1
        if not states[alert.state]:
            del states[alert.state]
        if not states:
            del self._states[alert.name]

    def _evict(self) -> None:
        # A tenth at once, so that a full book is not sorted for every alert.
        ranked = sorted(self._alerts.values(), key=lambda a: (-_RANK[a.state], a.changed_at))
        for alert in ranked[: max(1, self._limit // _EVICT_SHARE)]:
            self.remove(alert.fingerprint)


def place_of(alert: AlertEvent) -> Key:
    """Where an alert stands in the list."""
    return (_RANK[alert.state], _severity_rank(alert.severity), -alert.changed_at, alert.fingerprint)


def _severity_rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
