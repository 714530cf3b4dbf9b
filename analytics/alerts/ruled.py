"""The rules that people wrote, as the alerts' stage sees them: conditions out of what it hears, and their words."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules
from analytics.alerts.condition import Condition, Order
from analytics.alerts.config import RuleConfig
from analytics.alerts.reaching import reaching, reaching_words
from analytics.rules.kinds import Anomaly, Dark, Gate, Incident, Ledger, Pipeline, SeriesRule, Silence
from analytics.rules.words import WordsError, fill_in
from ingest.contract.events import ConditionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analytics.alerts.book import Alert
    from analytics.rules.kinds import Rule
    from ingest.contract.events import ConditionEvent, GatewayEvent

SOURCES: dict[type[Rule], str] = {
    Anomaly: rules.METRIC_ANOMALY,
    Silence: rules.DEVICE_SILENT,
    Dark: rules.SITE_DARK,
    Gate: rules.ROLLOUT_FAILED,
    Ledger: rules.LEDGER_BREACH,
    Incident: rules.INCIDENT,
}
"""Which of the rules that are always there says what a rule of this kind looks at."""


class Ruled:
    """All rules of the file."""

    def __init__(self, written: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in written}
        self._pipeline = [rule for rule in written if isinstance(rule, Pipeline)]
        self._by_source: dict[str, list[Rule]] = {}
        for rule in written:
            if type(rule) in SOURCES:
                self._by_source.setdefault(SOURCES[type(rule)], []).append(rule)

    def configs(self) -> dict[str, RuleConfig]:
        """What the book must know of each; `for` of a rule about series is over when its condition is said."""
        return {name: _config(rule) for name, rule in self._rules.items()}

    def derived(self, condition: Condition) -> Iterator[Condition]:
        """What rules make of a condition that one of the rules that are always there has seen."""
        for rule in self._by_source.get(condition.rule, ()):
            holds = condition.active and _is_about(rule, condition)
            yield msgspec.structs.replace(
                condition, rule=rule.name, labels=condition.labels | rule.labels, active=holds, severity=""
            )

    def of_series(self, event: ConditionEvent, trace: str) -> Condition | None:
        """What a rule about series has said; None when there is no such rule any more."""
        rule = self._rules.get(event.rule)
        if not isinstance(rule, SeriesRule):
            return None
        labels = {"site": event.site, "device": event.device, "metric": event.metric}
        labels |= {f"label_{name}": value for name, value in event.labels}
        ends = reaching(event)
        when = reaching_words(ends).get("when", "")
        return Condition(
            rule=event.rule,
            tenant=event.tenant,
            labels=labels | rule.labels,
            active=event.status is ConditionStatus.HOLDS,
            unknown=event.status is ConditionStatus.UNKNOWN,
            withdrawn=event.status is ConditionStatus.WITHDRAWN,
            numbers={"value": event.value, "bound": event.bound} | ends,
            summary=f"{event.metric} of {event.device} at {event.site}: "
            + (f"reaches {event.bound:.4g} {when}" if when else f"{event.value:.4g} ({rule.kind})"),
            trace=trace,
            order=Order(f"rules {event.rule}", event.number),
            about={"firmware": event.firmware, "hardware": event.hardware, "group": event.group},
            notes={"reached": when} if when else {},
        )

    def of_heartbeat(
        self, event: GatewayEvent, trace: str, is_active: Callable[[Condition], bool]
    ) -> Iterator[Condition]:
        """What the heartbeat says of the way of the site's data; `is_active`: such a condition holds already."""
        for rule in self._pipeline:
            value = _measure(rule, event)
            condition = Condition(
                rule=rule.name,
                tenant=event.tenant,
                labels={"site": event.site, "gateway": event.gateway} | rule.labels,
                active=value > rule.above,
                numbers={"value": value, "bound": rule.above},
                summary=f"{rule.measure} of {event.gateway} at {event.site} is {value:.4g}, more than {rule.above:g}",
                trace=trace,
            )
            if not fnmatch.fnmatchcase(event.site, rule.where.site):
                condition = msgspec.structs.replace(condition, active=False)
            elif rule.leave is not None and rule.leave <= value <= rule.above and is_active(condition):
                condition = msgspec.structs.replace(condition, active=True)
            yield condition

    def annotations(self, alert: Alert) -> dict[str, str]:
        """The words of an alert's rule; nothing for the rules that are always there."""
        rule = self._rules.get(alert.name)
        if rule is None:
            return {}
        names = {"rule": alert.name, "tenant": alert.tenant, "severity": alert.severity}
        words = alert.labels | alert.about | alert.numbers | reaching_words(alert.numbers) | names
        found = {name: _filled(text, words) for name, text in rule.annotations.items()}
        return found | ({"runbook": rule.runbook} if rule.runbook else {})


def _config(rule: Rule) -> RuleConfig:
    if isinstance(rule, SeriesRule):
        return RuleConfig(severity=rule.severity, stale_s=0.001)  # what is unknown has been so for long enough
    return RuleConfig(severity=rule.severity, for_s=rule.hold_ms / 1000, keep_firing_s=rule.keep_ms / 1000)


def _is_about(rule: Rule, condition: Condition) -> bool:
    known = condition.about | condition.labels
    scope = rule.where
    for name in ("site", "device", "group", "hardware", "firmware"):
        if not fnmatch.fnmatchcase(known.get(name, ""), getattr(scope, name)):
            return False
    if not all(fnmatch.fnmatchcase(known.get(f"label_{name}", ""), text) for name, text in scope.labels.items()):
        return False
    if isinstance(rule, Anomaly):
        is_its = fnmatch.fnmatchcase(known["metric"], rule.metric) and fnmatch.fnmatchcase(
            known.get("detector", ""), rule.detector
        )
        return is_its and condition.numbers["score"] >= rule.least_score
    return not isinstance(rule, Gate) or fnmatch.fnmatchcase(known["rollout"], rule.rollout)


def _measure(rule: Pipeline, event: GatewayEvent) -> float:
    return {
        "backlog_bytes": float(event.backlog_bytes),
        "backlog_s": max(0.0, (event.at - event.backlog_from) / 1000) if event.backlog_from else 0.0,
        "cut_off": float(event.cut_off),
        "silent_share": event.silent / max(event.devices, 1),
    }[rule.measure]


def _filled(text: str, words: dict[str, str | float]) -> str:
    try:
        return fill_in(text, words)
    except WordsError as error:
        return f"{text} ({error})"  # people read what the rule meant, and why it says no more
