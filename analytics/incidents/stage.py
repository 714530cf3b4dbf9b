"""Incidents as a stage: the topic of summaries in, incidents out; each tenant's state belongs to the partition it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.incidents.tenant import Tenant
from ingest.contract.events import IncidentEvent, SummaryEvent
from ingest.contract.names import DEAD_LETTERS, INCIDENT_CHANGES, INCIDENTS_FULL, INCIDENTS_OPEN
from ingest.contract.reasons import EventRejection
from ingest.contract.records import Outgoing, event_record, read_event
from ingest.contract.topics import INCIDENTS, SUMMARIES
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analytics.incidents.config import IncidentsConfig
    from ingest.contract.records import Record
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/incidents"
SAVE_MS = 5000
"""How often what led to no change is saved: until then a crash leads to the same records being read again."""


class IncidentsStage:
    """See `ingest.runtime.worker.Stage`. Its time is that of the summaries: what it decides follows from them alone."""

    name = "incidents"
    topics = (SUMMARIES,)

    def __init__(self, config: IncidentsConfig, telemetry: Telemetry) -> None:
        self._config, self._telemetry = config, telemetry
        self._tenants: dict[tuple[int, str], Tenant] = {}
        self._unsaved: dict[tuple[int, str], None] = {}
        self._fleets: dict[tuple[int, str], None] = {}
        self._saved_at = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take summaries one by one, so that it does not matter how they are polled."""
        outgoing = [event for record in records for event in self._take(record)]
        self._show()
        due = bool(self._unsaved) and abs(now - self._saved_at) >= SAVE_MS
        if due or outgoing:
            self._saved_at = now
        return StepResult(outgoing, changed=due)

    def snapshot(self) -> Mapping[str, bytes]:
        """Of each tenant that something was said of since: its incidents, and its fleet where that changed."""
        parts = {f"open/{_name(key)}": self._tenants[key].dump() for key in self._unsaved}
        parts |= {f"fleet/{_name(key)}": self._tenants[key].fleet.dump() for key in self._fleets}
        self._unsaved.clear()
        self._fleets.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue: the parts of the partitions that are ours."""
        for name in sorted(parts):  # fleets first
            kind, partition, tenant = name.split("/", 2)
            known = self._tenant(int(partition), tenant)
            known.fleet.load(parts[name]) if kind == "fleet" else known.load(parts[name])

    def partition_of(self, part: str) -> int | None:
        """See `ingest.runtime.worker.PartitionedStage`."""
        return int(part.split("/")[1])

    def forget(self, partition: int) -> None:
        """Drop its tenants."""
        for known in (self._tenants, self._unsaved, self._fleets):
            for key in [key for key in known if key[0] == partition]:
                del known[key]

    def _tenant(self, partition: int, tenant: str) -> Tenant:
        key = partition, tenant
        if key not in self._tenants:
            self._tenants[key] = Tenant(tenant, self._config)
        return self._tenants[key]

    def _take(self, record: Record) -> Iterator[Outgoing]:
        summary = read_event(record, SummaryEvent)
        if summary is None:
            if record.value is not None:
                self._telemetry.count(DEAD_LETTERS, topic=record.topic, reason=EventRejection.MALFORMED)
            return
        tenant = self._tenant(record.partition, summary.tenant)
        version = tenant.fleet.version
        for event in tenant.take(summary):
            self._telemetry.count(INCIDENT_CHANGES, reason=event.reason)
            yield _record(event)
        for name in tenant.forgotten():
            yield Outgoing(INCIDENTS, name.encode(), None)
        self._unsaved[record.partition, summary.tenant] = None
        if tenant.fleet.version != version:
            self._fleets[record.partition, summary.tenant] = None

    def _show(self) -> None:
        self._telemetry.gauge(INCIDENTS_OPEN, sum(tenant.open for tenant in self._tenants.values()))
        self._telemetry.gauge(INCIDENTS_FULL, sum(tenant.full for tenant in self._tenants.values()))


def _name(key: tuple[int, str]) -> str:
    return f"{key[0]}/{key[1]}"


def _record(event: IncidentEvent) -> Outgoing:
    return event_record(
        INCIDENTS,
        event.incident,
        event,
        event_id=f"{event.incident}:{event.number}",
        source=SOURCE,
        time=event.at,
        trace=event.trace or None,
    )
