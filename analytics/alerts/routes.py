"""Who is told of an alert: the first route that it matches, or all receivers; and whom, when nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.matching import matchable, matches, read_matcher
from analytics.alerts.route_config import AS_THE_ALERTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.route_config import RouteConfig
    from ingest.contract.events import AlertEvent


class Way(msgspec.Struct, frozen=True):
    """Where an alert goes: receivers, the labels that it shares with those that it travels with, repetition, escalation."""

    receivers: tuple[str, ...]
    group: dict[str, str]
    repeat_s: float
    escalate_after_s: float
    escalate_to: tuple[str, ...]

    def alike(self) -> str:
        """Equal for alerts that may travel together."""
        return msgspec.json.encode(self.group).decode()


class Routes:
    """`receivers` are all that there are; `default` those of alerts that match no route, empty for all."""

    def __init__(
        self, routes: Sequence[RouteConfig], receivers: Sequence[str], default: Sequence[str], repeat_s: float
    ) -> None:
        self._routes = [(route, [read_matcher(text) for text in route.matchers]) for route in routes]
        self._default, self._repeat_s = tuple(default) or tuple(receivers), repeat_s

    def way(self, event: AlertEvent) -> Way:
        """Where this alert goes."""
        labels = matchable(event.name, event.tenant, event.severity, event.labels)
        taken = self._taken(labels)
        if not taken:
            return Way(self._default, _group(("alertname", "tenant"), labels), self._repeat_s, 0.0, ())
        first = taken[0]
        return Way(
            receivers=tuple(dict.fromkeys(name for route in taken for name in route.receivers)),
            group=_group(first.group_by, labels),
            repeat_s=self._repeat_s if first.repeat_s == AS_THE_ALERTS else first.repeat_s,
            escalate_after_s=first.escalate_after_s,
            escalate_to=tuple(first.escalate_to),
        )

    def _taken(self, labels: dict[str, str]) -> list[RouteConfig]:
        taken = []
        for route, matchers in self._routes:
            if matches(matchers, labels):
                taken.append(route)
                if not route.go_on:
                    break
        return taken


def _group(names: Sequence[str], labels: dict[str, str]) -> dict[str, str]:
    return {name: labels.get(name, "") for name in names}
