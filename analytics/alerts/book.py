"""All alerts that live, and what becomes of them as conditions come in and time passes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.life import Change, Life, decide
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.alerts.condition import Condition
    from analytics.alerts.config import RuleConfig

SPOKEN = frozenset({Change.BEGAN, Change.FIRED, Change.CEASED, Change.RESOLVED})


class Alert(msgspec.Struct):
    """One alert: the life, and the newest words about it."""

    name: str
    tenant: str
    labels: dict[str, str]
    numbers: dict[str, float]
    summary: str
    trace: str
    active: bool
    life: Life = Life()


class AlertBook:
    """Alerts by fingerprint; those that ended are forgotten at once (their topic remembers)."""

    def __init__(self, rules: dict[str, RuleConfig], annotate: Callable[[Alert], dict[str, str]]) -> None:
        self.alerts: dict[str, Alert] = {}
        self._rules, self._annotate = rules, annotate

    def observe(self, condition: Condition, now: int) -> list[tuple[AlertEvent, str]]:
        """Take one condition; the changes it led to, each with its trace."""
        if not self._rules[condition.rule].enabled:
            return []
        fingerprint = condition.fingerprint()
        alert = self.alerts.get(fingerprint)
        if alert is None:
            if not condition.active:
                return []
            alert = self.alerts[fingerprint] = _alert(condition)
        elif condition.active:
            alert.numbers, alert.summary = condition.numbers, condition.summary
        alert.active, alert.trace = condition.active, condition.trace or alert.trace
        return self._advance(fingerprint, now)

    def tick(self, now: int) -> list[tuple[AlertEvent, str]]:
        """Let time pass for all."""
        return [change for fingerprint in list(self.alerts) for change in self._advance(fingerprint, now)]

    def count(self, state: AlertState) -> int:
        """How many alerts are in this state."""
        return sum(alert.life.state is state for alert in self.alerts.values())

    def _advance(self, fingerprint: str, now: int) -> list[tuple[AlertEvent, str]]:
        alert = self.alerts[fingerprint]
        alert.life, change = decide(alert.life, active=alert.active, now=now, rule=self._rules[alert.name])
        if change in {Change.CEASED, Change.RESOLVED}:
            del self.alerts[fingerprint]
        return [(self._event(fingerprint, alert, change, now), alert.trace)] if change in SPOKEN else []

    def _event(self, fingerprint: str, alert: Alert, change: Change, now: int) -> AlertEvent:
        life = alert.life
        return AlertEvent(
            fingerprint=fingerprint,
            tenant=alert.tenant,
            name=alert.name,
            state=life.state,
            severity=self._rules[alert.name].severity,
            labels=alert.labels,
            annotations=self._annotate(alert),
            numbers=alert.numbers,
            changed_at=now,
            pending_since=life.pending_since,
            starts_at=life.starts_at,
            ends_at=life.ends_at,
            reason=change.value,
        )


def _alert(condition: Condition) -> Alert:
    return Alert(
        name=condition.rule,
        tenant=condition.tenant,
        labels=condition.labels,
        numbers=condition.numbers,
        summary=condition.summary,
        trace=condition.trace,
        active=True,
    )
