"""An alerts stage with rules of one's own, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.alerts.config import RuleConfig
from analytics.alerts.stage import AlertsStage
from analytics.rules.file import parse_rules
from analytics.rules.kinds import Rule
from ingest.contract.events import ConditionEvent, ConditionStatus
from ingest.contract.topics import CONDITIONS
from tests.alert_world import T0, TENANT, Fleet, Watched, event_of

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing


HOT = '[[rules]]\nname = "Hot"\nkind = "threshold"\nmetric = "temperature"\nabove = 2.0\n'


def rules(text: str) -> list[Rule]:
    return parse_rules(text, "rules.toml")


class Ruled(Watched):
    """A stage with rules of one's own."""

    def __init__(self, text: str, fleet: Fleet | None = None) -> None:
        self.written = rules(text)
        off = RuleConfig(enabled=False)
        super().__init__(fleet or Fleet(("north",)), metric_anomaly=off, device_silent=off, rollout_failed=off)
        self.restart({})

    def restart(self, parts: Any = None) -> None:
        parts = parts if parts is not None else dict(self.stage.snapshot())
        self.stage = AlertsStage(self.config, self.fleet.gateways, self.telemetry, self.written)
        self.stage.restore(parts)


def condition(
    status: ConditionStatus, number: int, rule: str = "Hot", *, device: str = "north-01", **more: Any
) -> Outgoing:
    event = ConditionEvent(
        tenant=TENANT,
        site="north",
        device=device,
        metric="temperature",
        labels=(("core", "0"),),
        rule=rule,
        status=status,
        at=T0,
        number=number,
        value=3.25,
        bound=2.0,
        firmware="2.3.0",
        **more,
    )
    return event_of(CONDITIONS, f"north/{device}", event)
