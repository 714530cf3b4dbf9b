"""The rules that alerts are made by, and what they make at present of a tenant's fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AlertState, RuleEvent

if TYPE_CHECKING:
    from dashboards.api.alerts import AlertBook

MOST_RULES = 10_000
INACTIVE, DISABLED = "inactive", "disabled"


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `state` is that of the alert which needs a look first, `inactive` without one that goes on, or `disabled`.

    `alerts`: how many of the tenant's alerts are in which state. `metric` is empty unless the rule is about one.
    """

    name: str
    kind: str
    severity: str
    for_s: float
    keep_firing_s: float
    runbook: str
    metric: str
    built_in: bool
    since: int
    state: str
    alerts: dict[str, int]


class RuleBook:
    """All rules; they are the same for every tenant."""

    def __init__(self) -> None:
        self._rules: dict[str, RuleEvent] = {}

    def put(self, rule: RuleEvent) -> str:
        """Take a rule: taken or full."""
        if rule.name not in self._rules and len(self._rules) >= MOST_RULES:
            return "full"
        self._rules[rule.name] = rule
        return "taken"

    def remove(self, name: str) -> bool:
        """Forget a rule; whether there was one."""
        return self._rules.pop(name, None) is not None

    def get(self, name: str) -> RuleEvent | None:
        """One rule."""
        return self._rules.get(name)

    def list(self, after: str, limit: int) -> list[RuleEvent]:
        """Up to `limit` rules by name, behind `after`."""
        return [self._rules[name] for name in sorted(self._rules) if name > after][:limit]


def rule_view(rule: RuleEvent, alerts: AlertBook) -> RuleView:
    """A rule and what it makes of the fleet that has these alerts."""
    counts = alerts.counts_of(rule.name)
    going_on = [state.value for state in counts if state is not AlertState.RESOLVED]
    return RuleView(
        name=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        for_s=rule.for_s,
        keep_firing_s=rule.keep_firing_s,
        runbook=rule.runbook,
        metric=rule.metric,
        built_in=rule.built_in,
        since=rule.at,
        state=(going_on or [INACTIVE if rule.enabled else DISABLED])[0],
        alerts={state.value: number for state, number in counts.items()},
    )
