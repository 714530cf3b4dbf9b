"""All alerts that live, and what becomes of them as conditions come in and time passes. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.condition import Order
from analytics.alerts.config import RuleConfig
from analytics.alerts.life import Change, Life, Observation, Sight, Terms, decide
from ingest.contract.events import AlertEvent, AlertState

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from analytics.alerts.condition import Condition
    from analytics.alerts.config import FlapConfig
    from ingest.contract.events import Acknowledgement

ENDS = frozenset({Change.CEASED, Change.UNSEEN, Change.RESOLVED, Change.WITHDRAWN})
MOST_ENDED = 10_000
"""So many alerts that ended are remembered at the most: those that ended last."""

ALERT_BYTES = 2_500
"""What an alert takes in memory beside its texts."""

_REMOVED = RuleConfig(enabled=False)
_SUPPRESSING = frozenset({Change.MUTED, Change.SUPPRESSED})
_TOLD_BY_PEOPLE = frozenset({Change.ACKNOWLEDGED, Change.UNACKNOWLEDGED})


class Alert(msgspec.Struct):
    """One alert: the life, and the newest words about it. `severity` and `notify` stay what they were when it began."""

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
    unknown: bool = False
    withdrawn: bool = False
    acknowledged_by: str = ""
    about: dict[str, str] = {}
    by: str = ""
    """Who made the newest change, when somebody did."""
    notes: dict[str, str] = {}
    evidence: dict[str, str] = {}
    revision: int = 0
    notify: bool = True
    size: int = ALERT_BYTES

    def sight(self) -> Sight:
        """What is known of its condition."""
        if self.withdrawn:
            return Sight.WITHDRAWN
        if self.unknown:
            return Sight.UNKNOWN
        return Sight.HOLDS if self.active else Sight.OVER


class Ended(msgspec.Struct):
    """What must be known of an alert that ended at `at` (ms): its source's last word, and when it fired lately."""

    at: int
    order: Order
    fired: tuple[int, ...] = ()


class AlertBook:
    """Alerts by fingerprint, and for `forget_ms` those that ended. `suppressor` names what suppresses an alert, or "".

    Of alerts of the rules in `told_elsewhere` receivers are not told. Where those that live take `most_bytes` no other begins; those
    that live go on, and come to their end.
    """

    def __init__(
        self,
        rules: Mapping[str, RuleConfig],
        annotate: Callable[[Alert], dict[str, str]],
        forget_ms: float,
        flapping: FlapConfig,
        suppressor: Callable[[Alert, int], str] = lambda _alert, _now: "",
        *,
        told_elsewhere: Container[str] = (),
        most_bytes: int = 1 << 40,
    ) -> None:
        self.passed_over: Counter[str] = Counter()
        """Conditions for which there was no room, by the alert's name; the caller empties it."""
        self._most_bytes, self._bytes = most_bytes, 0
        self.alerts: dict[str, Alert] = {}
        self.ended: dict[str, Ended] = {}
        self._rules, self._annotate, self._forget_ms = rules, annotate, forget_ms
        self._flapping, self._suppressor, self._told_elsewhere = flapping, suppressor, told_elsewhere
        self._restless: dict[str, None] = {}

    def observe(self, condition: Condition, now: int) -> list[tuple[AlertEvent, str]]:
        """Take one condition; the changes it led to, each with its trace."""
        rule = self._rules.get(condition.rule, _REMOVED)
        if not rule.enabled:
            return []
        fingerprint = condition.fingerprint()
        alert = self.alerts.get(fingerprint)
        if alert is not None and alert.withdrawn:  # its end comes first: this is another life
            return self._advance(fingerprint, now) + self.observe(condition, now)
        known = alert or self.ended.get(fingerprint)
        is_news = known is None or condition.order.follows(known.order)
        if not is_news or (alert is None and (condition.unknown or condition.withdrawn or not condition.active)):
            return []
        if alert is None:
            size = _size(condition)
            if self._bytes + size > self._most_bytes:
                self.passed_over[condition.rule] += 1
                return []
            alert = self.alerts[fingerprint] = self._begin(fingerprint, condition, rule, size)
            self._bytes += size
        elif condition.active and not condition.unknown:
            alert.numbers, alert.summary, alert.about = condition.numbers, condition.summary, condition.about
            alert.notes, alert.evidence = condition.notes, condition.evidence
        alert.active, alert.unknown, alert.withdrawn = condition.active, condition.unknown, condition.withdrawn
        alert.trace, alert.order = condition.trace or alert.trace, condition.order
        changes = self._advance(fingerprint, now)
        is_more = alert.active and condition.revision > alert.revision and alert.life.state is AlertState.FIRING
        alert.revision = max(alert.revision, condition.revision)
        if is_more and not changes:
            return [(self._event(fingerprint, alert, Change.TOLD_AGAIN, now), alert.trace)]
        return changes

    def tick(self, now: int) -> list[tuple[AlertEvent, str]]:
        """Let time pass for all whom time may change."""
        self._forget(now)
        return [change for fingerprint in sorted(self._restless) for change in self._advance(fingerprint, now)]

    def review(self, now: int) -> list[tuple[AlertEvent, str]]:
        """What suppresses alerts has changed: look at all of them."""
        return [change for fingerprint in list(self.alerts) for change in self._advance(fingerprint, now)]

    def acknowledge(self, said: Acknowledgement, now: int) -> list[tuple[AlertEvent, str]]:
        """Somebody looks after an alert, or does no more; what is said of another life is passed over."""
        alert = self.alerts.get(said.fingerprint)
        if alert is None or (alert.tenant, alert.life.starts_at) != (said.tenant, said.starts_at):
            return []
        alert.acknowledged_by, alert.by = ("" if said.withdrawn else said.by), said.by
        return self._advance(said.fingerprint, now)

    def restore(self, alerts: dict[str, Alert], ended: dict[str, Ended]) -> None:
        """Continue with these; with the next tick each is looked at."""
        self.alerts, self.ended = alerts, ended
        self._bytes = sum(alert.size for alert in alerts.values())
        self._restless = dict.fromkeys(alerts)

    def end(self, is_over: Callable[[Alert], bool]) -> None:
        """Of these alerts nothing will be said any more: they come to their end with the next tick."""
        for fingerprint, alert in self.alerts.items():
            if is_over(alert):
                alert.withdrawn = True
                self._restless[fingerprint] = None

    def holds(self, condition: Condition) -> bool:
        """Whether this condition is known to hold."""
        alert = self.alerts.get(condition.fingerprint())
        return alert is not None and alert.active

    def counts(self) -> Counter[AlertState]:
        """How many alerts are in which state."""
        return Counter(alert.life.state for alert in self.alerts.values())

    def _begin(self, fingerprint: str, condition: Condition, rule: RuleConfig, size: int) -> Alert:
        before = self.ended.pop(fingerprint, None)
        return Alert(
            name=condition.rule,
            tenant=condition.tenant,
            severity=condition.severity or rule.severity,
            labels=condition.labels,
            numbers=condition.numbers,
            summary=condition.summary,
            trace=condition.trace,
            active=True,
            order=condition.order,
            about=condition.about,
            life=Life(ended_before=before.at, fired=before.fired) if before else Life(),
            notes=condition.notes,
            evidence=condition.evidence,
            revision=condition.revision,
            notify=condition.rule not in self._told_elsewhere,
            size=size,
        )

    def _advance(self, fingerprint: str, now: int) -> list[tuple[AlertEvent, str]]:
        alert = self.alerts[fingerprint]
        rule = self._rules.get(alert.name, _REMOVED)
        suppressed_by = self._suppressor(alert, now)
        # Who switches a rule off ends its alerts: nothing else ever would.
        alert.life, change = decide(
            alert.life,
            Observation(
                sight=alert.sight() if rule.enabled else Sight.WITHDRAWN,
                terms=self._terms(rule),
                suppressed=bool(suppressed_by),
                acknowledged=bool(alert.acknowledged_by),
            ),
            now,
        )
        self._set_restless(fingerprint, alert)
        if change in ENDS:
            del self.alerts[fingerprint]
            self._bytes -= alert.size
            at = max(alert.life.ends_at, alert.life.ended_before)
            self.ended[fingerprint] = Ended(at, alert.order, alert.life.fired)
        if change is Change.NOTHING:
            return []
        if change not in _TOLD_BY_PEOPLE:
            alert.by = suppressed_by if change in _SUPPRESSING else ""
        return [(self._event(fingerprint, alert, change, now), alert.trace)]

    def _terms(self, rule: RuleConfig) -> Terms:
        return Terms(
            hold=rule.for_s * 1000,
            keep=rule.keep_firing_s * 1000,
            stale=rule.stale_s * 1000,
            flaps=self._flapping.times,
            flap_window=self._flapping.window_s * 1000,
            flap_quiet=self._flapping.quiet_s * 1000,
        )

    def _set_restless(self, fingerprint: str, alert: Alert) -> None:
        if fingerprint in self._restless and (alert.life.is_still or alert.life.state is AlertState.RESOLVED):
            del self._restless[fingerprint]
        elif not alert.life.is_still and alert.life.state is not AlertState.RESOLVED:
            self._restless[fingerprint] = None

    def _forget(self, now: int) -> None:
        # Oldest first: a dictionary keeps the order in which they ended.
        while self.ended:
            fingerprint, ended = next(iter(self.ended.items()))
            if len(self.ended) <= MOST_ENDED and now - ended.at <= self._forget_ms:
                return
            del self.ended[fingerprint]

    def _event(self, fingerprint: str, alert: Alert, change: Change, now: int) -> AlertEvent:
        life = alert.life
        annotations = self._annotate(alert)
        if life.flapping:
            annotations |= {"flapping": self._flapping.told()}
        return AlertEvent(
            fingerprint=fingerprint,
            tenant=alert.tenant,
            name=alert.name,
            state=life.state,
            severity=alert.severity,
            labels=alert.labels,
            annotations=annotations,
            numbers=alert.numbers,
            changed_at=now,
            pending_since=life.pending_since,
            starts_at=life.starts_at,
            ends_at=life.ends_at,
            reason=change.value,
            told=alert.notify and (life.told or not life.starts_at),
            flapping=life.flapping,
            by=alert.by,
            revision=alert.revision,
            evidence=alert.evidence,
        )


def _size(condition: Condition) -> int:
    texts = (condition.labels, condition.about, condition.notes)
    return ALERT_BYTES + len(condition.summary) + sum(len(k) + len(v) for some in texts for k, v in some.items())
