"""What a user may say about who is told of which alerts."""

from __future__ import annotations

import msgspec

from analytics.alerts.checks import require_durations
from analytics.alerts.matching import read_matcher

AS_THE_ALERTS = -1.0


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts that match all of `matchers` (`label=pattern`, `label!=pattern`) go to `receivers`.

    The first route that matches decides; with `go_on` the following ones may add receivers. `group_by`: labels that alerts which
    travel together share. `repeat_s`: what still fires, and nobody looks after, is told again so often (0: never; -1: as
    the alerts' own). `escalate_to` are told of what nobody has acknowledged for `escalate_after_s`.
    """

    receivers: list[str]
    matchers: list[str] = []
    go_on: bool = False
    group_by: list[str] = msgspec.field(default_factory=lambda: ["alertname", "tenant"])
    repeat_s: float = -1.0
    escalate_after_s: float = 0.0
    escalate_to: list[str] = []

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        for text in self.matchers:
            read_matcher(text)
        require_durations(escalate_after_s=self.escalate_after_s)
        if self.repeat_s != AS_THE_ALERTS:
            require_durations(repeat_s=self.repeat_s)
        if bool(self.escalate_after_s) is not bool(self.escalate_to):
            raise ValueError("escalate_after_s and escalate_to: expected both or neither")
        if "tenant" not in self.group_by:
            raise ValueError("group_by: expected `tenant` in it: alerts of several tenants never travel together")
