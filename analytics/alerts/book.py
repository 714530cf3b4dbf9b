"""All alerts that live, and what becomes of them as conditions come in and time passes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.condition import Order
from analytics.alerts.config import RuleConfig
from analytics.alerts.life import Change, Life, decide
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analytics.alerts.condition import Condition

SPOKEN = frozenset({Change.BEGAN, Change.FIRED, Change.CEASED, Change.RESOLVED})
MOST_ENDED = 10_000
"""So many alerts that ended are remembered at the most: those that ended last."""

_REMOVED = RuleConfig(enabled=False)


class Alert(msgspec.Struct):
    """One alert: the life, and the newest words about it. `severity` stays what it was when the alert began."""

    name: str
    tenant: str
    severity: str
    labels: dict[str, str]
    numbers: dict[str, float]
    summary: str
    trace: str
    active: bool
    order: Order
    life: Life = Life()


class Ended(msgspec.Struct):
    """What must be known of an alert that ended (ms): that the next one is another, and what its source had said."""

    at: int
    order: Order


class AlertBook:
    """Alerts by fingerprint, and for `forget_ms` those that ended."""

    def __init__(
        self, rules: Mapping[str, RuleConfig], annotate: Callable[[Alert], dict[str, str]], forget_ms: float
    ) -> None:
        self.alerts: dict[str, Alert] = {}
        self.ended: dict[str, Ended] = {}
        self._rules, self._annotate, self._forget_ms = rules, annotate, forget_ms

    def observe(self, condition: Condition, now: int) -> list[tuple[AlertEvent, str]]:
        """Take one condition; the changes it led to, each with its trace."""
        rule = self._rules[condition.rule]
        if not rule.enabled:
            return []
        fingerprint = condition.fingerprint()
        alert = self.alerts.get(fingerprint)
        known = alert or self.ended.get(fingerprint)
        is_news = known is None or condition.order.follows(known.order)
        if not is_news or (alert is None and not condition.active):
            return []
        if alert is None:
            alert = self.alerts[fingerprint] = self._begin(fingerprint, condition, rule)
        elif condition.active:
            alert.numbers, alert.summary = condition.numbers, condition.summary
        alert.active, alert.trace, alert.order = condition.active, condition.trace or alert.trace, condition.order
        return self._advance(fingerprint, now)

    def tick(self, now: int) -> list[tuple[AlertEvent, str]]:
        """Let time pass for all."""
        self._forget(now)
        return [change for fingerprint in list(self.alerts) for change in self._advance(fingerprint, now)]

    def end(self, is_over: Callable[[Alert], bool]) -> None:
        """Of these alerts nothing will be said any more: they come to their end with the next tick."""
        for alert in self.alerts.values():
            alert.active = alert.active and not is_over(alert)

    def count(self, state: AlertState) -> int:
        """How many alerts are in this state."""
        return sum(alert.life.state is state for alert in self.alerts.values())

    def _begin(self, fingerprint: str, condition: Condition, rule: RuleConfig) -> Alert:
        before = self.ended.pop(fingerprint, None)
        return Alert(
            name=condition.rule,
            tenant=condition.tenant,
            severity=rule.severity,
            labels=condition.labels,
            numbers=condition.numbers,
            summary=condition.summary,
            trace=condition.trace,
            active=True,
            order=condition.order,
            life=Life(ended_before=before.at if before else 0),
        )

    def _advance(self, fingerprint: str, now: int) -> list[tuple[AlertEvent, str]]:
        alert = self.alerts[fingerprint]
        rule = self._rules.get(alert.name, _REMOVED)
        # Who switches a rule off ends its alerts: nothing else ever would.
        alert.life, change = decide(alert.life, active=alert.active and rule.enabled, now=now, rule=rule)
        if change in {Change.CEASED, Change.RESOLVED}:
            del self.alerts[fingerprint]
            self.ended[fingerprint] = Ended(max(alert.life.ends_at, alert.life.ended_before), alert.order)
        return [(self._event(fingerprint, alert, change, now), alert.trace)] if change in SPOKEN else []

    def _forget(self, now: int) -> None:
        # Oldest first: a dictionary keeps the order in which they ended.
        while self.ended:
            fingerprint, ended = next(iter(self.ended.items()))
            if len(self.ended) <= MOST_ENDED and now - ended.at <= self._forget_ms:
                return
            del self.ended[fingerprint]

    def _event(self, fingerprint: str, alert: Alert, change: Change, now: int) -> AlertEvent:
        life = alert.life
        return AlertEvent(
            fingerprint=fingerprint,
            tenant=alert.tenant,
            name=alert.name,
            state=life.state,
            severity=alert.severity,
            labels=alert.labels,
            annotations=self._annotate(alert),
            numbers=alert.numbers,
            changed_at=now,
            pending_since=life.pending_since,
            starts_at=life.starts_at,
            ends_at=life.ends_at,
            reason=change.value,
        )
