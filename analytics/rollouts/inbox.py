"""From records to events: verified against the gateways' keys, sorted by what they are, counted when they cannot be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from analytics.rollups import read_rollups
from ingest.contract.events import AckEvent, AnomalyEvent, DeviceEvent, GatewayEvent, RolloutPlan
from ingest.contract.names import DEAD_LETTERS
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import Record, read_event
from ingest.contract.topics import ACKS, ANOMALIES, DEVICES, PLANS, ROLLUPS
from ingest.runtime.gateways import Gateways, UnverifiedError

if TYPE_CHECKING:
    from ingest.contract.batch import RollupBatch
    from ingest.runtime.telemetry import Telemetry

TOPICS = (PLANS, DEVICES, ACKS, ANOMALIES, ROLLUPS)
"""What the gate reads."""

MOST_AHEAD_MS = 3_600_000
"""An event that claims to be from so far after the log took it is not believed: it would drag event time along."""

Signed = DeviceEvent | GatewayEvent | AckEvent
_SIGNED: dict[str, tuple[type[Signed], ...]] = {DEVICES: (DeviceEvent, GatewayEvent), ACKS: (AckEvent,)}

Event = RolloutPlan | DeviceEvent | GatewayEvent | AckEvent | AnomalyEvent

E = TypeVar("E", bound=msgspec.Struct)


class Taken(msgspec.Struct, frozen=True):
    """An event with the trace it belongs to; `event` None when the record was not one that can be taken."""

    record: Record
    event: Event | None
    trace: str


class Inbox:
    """Reads what the gate consumes. What is not signed by a known gateway is passed over and counted."""

    def __init__(self, gateways: Gateways, telemetry: Telemetry) -> None:
        self._gateways, self._telemetry = gateways, telemetry

    def read(self, record: Record) -> Taken:
        """The record's event; a plan that cannot be read is left to the caller to make a dead letter of."""
        found = self._event(record)
        if isinstance(found, BatchRejection):
            self._telemetry.count(DEAD_LETTERS, topic=record.topic, reason=found.value)
            return Taken(record, None, record.trace)
        return Taken(record, found, record.trace)

    def rollups(self, record: Record) -> RollupBatch | None:
        """A batch of rollups, verified."""
        return read_rollups(record, self._gateways, self._telemetry)

    def _event(self, record: Record) -> Event | BatchRejection | None:
        # Plans and anomalies are the centre's own; all else is a gateway's word and must be signed.
        if record.topic == PLANS:
            return _storable(read_event(record, RolloutPlan))
        if record.topic == ANOMALIES:
            return _storable(read_event(record, AnomalyEvent))
        found: Event | BatchRejection = BatchRejection.MALFORMED
        for kind in _SIGNED.get(record.topic, ()):
            found = self._signed(record, kind)
            if found is not BatchRejection.MALFORMED:
                return found
        return found

    def _signed(self, record: Record, kind: type[Signed]) -> Signed | BatchRejection:
        try:
            event = self._gateways.read(record, kind)
        except UnverifiedError as error:
            return error.reason
        sound = 0 < event.at <= record.timestamp + MOST_AHEAD_MS and _storable(event) is not None
        return event if sound else BatchRejection.BAD_VALUE


def _storable(event: E | None) -> E | None:
    # JSON carries integers that no state file could: they are not taken, so that they cannot stop a checkpoint.
    try:
        msgspec.msgpack.encode(event)
    except OverflowError:
        return None
    return event
