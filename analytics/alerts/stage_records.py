"""What the alerts' stage reads out of records' headers and keys, and the records that it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analytics.alerts.condition import Order
from ingest.contract.records import event_record
from ingest.contract.topics import ALERT_HISTORY, ALERTS, DEVICES

if TYPE_CHECKING:
    from ingest.contract.events import AlertEvent
    from ingest.contract.records import Outgoing, Record

SOURCE = "tidegate/alerts"
"""Of what alerts' processes say."""
_NUMBERED = re.compile(rb"(?P<source>.{1,256})/(?P<number>[0-9]{1,18})")


def order_of(record: Record) -> Order:
    """The event's place in the order of its source; none where it has no number."""
    # A gateway numbers its events: `{gateway}/{boot}/event/{number}`.
    match = _NUMBERED.fullmatch(record.header("ce_id") or b"")
    return Order(match["source"].decode("ascii", "replace"), int(match["number"])) if match else Order()


def is_heartbeat(record: Record) -> bool:
    """Whether a gateway says that it is there."""
    return record.topic == DEVICES and b"/gateway:" in record.key


def change_records(event: AlertEvent, trace: str) -> list[Outgoing]:
    """A change as the topics hold it."""
    # The newest of each alert for ever, and all changes for as long as history is kept.
    return [
        event_record(
            topic,
            event.fingerprint,
            event,
            event_id=f"{event.idempotency_key()}:{event.changed_at}",
            source=SOURCE,
            time=event.changed_at,
            trace=trace or None,
        )
        for topic in (ALERTS, ALERT_HISTORY)
    ]
