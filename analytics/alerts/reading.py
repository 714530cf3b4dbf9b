"""Records to what alerts may be of: each topic's events, as their source said them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from analytics.alerts import rules
from analytics.alerts.stage_records import order_of
from ingest.contract import names
from ingest.contract.events import (
    AccountEvent,
    AnomalyEvent,
    ConditionEvent,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    IncidentEvent,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.reasons import BatchRejection, EventRejection
from ingest.contract.records import read_event
from ingest.contract.topics import (
    ACCOUNTS,
    ANOMALIES,
    CONDITIONS,
    DEVICES,
    INCIDENTS,
    PLANS,
    ROLLBACKS,
    VERDICTS,
    is_name,
)
from ingest.runtime.gateways import UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analytics.alerts.book import Alert, AlertBook
    from analytics.alerts.condition import Condition
    from analytics.alerts.rollouts import Rollouts
    from analytics.alerts.ruled import Ruled
    from analytics.alerts.sites import Sites
    from ingest.contract.records import Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

T = TypeVar("T", bound=msgspec.Struct)


class Reading:
    """What cannot be read, or does not come from whom it says, is counted and left out. A retired device ends its alerts."""

    def __init__(
        self,
        gateways: Gateways,
        telemetry: Telemetry,
        book: AlertBook,
        *,
        sites: Sites,
        rollouts: Rollouts,
        ruled: Ruled,
    ) -> None:
        self._gateways, self._telemetry = gateways, telemetry
        self._sites, self._rollouts, self._ruled, self._book = sites, rollouts, ruled, book
        self._readers: dict[str, Callable[[Record, str], Iterator[Condition]]] = {
            ANOMALIES: self._anomaly,
            DEVICES: self._device,
            VERDICTS: self._verdict,
            ROLLBACKS: self._rollback,
            PLANS: self._plan,
            ACCOUNTS: self._account,
            CONDITIONS: self._condition,
            INCIDENTS: self._incident,
        }

    def conditions(self, record: Record) -> Iterator[Condition]:
        """What a record of one of the topics above says."""
        return self._readers[record.topic](record, record.trace)

    def read(self, record: Record, kind: type[T]) -> T | None:
        """An event; None for a tombstone, and for what is none, which is counted."""
        event = read_event(record, kind)
        if event is None and record.value is not None:
            self._count_dead(record, EventRejection.MALFORMED)
        return event

    def _anomaly(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, AnomalyEvent)
        if event is not None:
            yield rules.metric_anomaly(event, trace)

    def _device(self, record: Record, trace: str) -> Iterator[Condition]:
        if record.value is None:
            return
        try:
            yield from self._heard_of(record, trace)
        except UnverifiedError as error:
            self._count_dead(record, error.reason)

    def _heard_of(self, record: Record, trace: str) -> Iterator[Condition]:
        if b"/gateway:" in record.key:
            heartbeat = self._gateways.read(record, GatewayEvent)
            yield self._sites.hear(heartbeat, trace)
            yield from self._ruled.of_heartbeat(heartbeat, trace, self._book.holds)
            return
        event = self._gateways.read(record, DeviceEvent)
        if not is_name(event.device):
            raise UnverifiedError(BatchRejection.BAD_NAME, event.device[:64])
        if event.state is DeviceState.RETIRED:
            self._book.end(lambda alert: _is_of(alert, event))
        condition = rules.device_silent(event, trace, order_of(record))
        if condition is not None:
            yield condition

    def _condition(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, ConditionEvent)
        condition = self._ruled.of_series(event, trace) if event is not None else None
        if condition is not None:
            yield condition

    def _verdict(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, Verdict)
        if event is not None:
            yield from self._rollouts.judged(event, trace)

    def _rollback(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, RollbackStatus)
        if event is not None:
            yield from self._rollouts.rolled_back(event, trace)

    def _plan(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, RolloutPlan)
        if event is not None:
            yield from self._rollouts.planned(event, trace)

    def _account(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, AccountEvent)
        condition = rules.ledger_breach(event, trace) if event is not None else None
        if record.value is None:
            condition = rules.ledger_forgotten(record.key)
        if condition is not None:
            yield condition

    def _incident(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self.read(record, IncidentEvent)
        if event is not None:
            yield msgspec.structs.replace(rules.incident(event), trace=trace)

    def _count_dead(self, record: Record, reason: str) -> None:
        self._telemetry.count(names.DEAD_LETTERS, topic=record.topic, reason=reason)


def _is_of(alert: Alert, device: DeviceEvent) -> bool:
    place = (alert.tenant, alert.labels.get("site"), alert.labels.get("device"))
    return place == (device.tenant, device.site, device.device)
