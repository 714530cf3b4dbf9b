"""Cohorts over sites as a stage: what sites said in, anomalies out; each tenant's state belongs to the partition it is in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from analytics.cohorts.tenant import Cohorts
from ingest.contract.events import CohortEvent
from ingest.contract.names import ANALYTICS_ANOMALIES, COHORT_SUMMARIES, COHORTS_KNOWN, DEAD_LETTERS
from ingest.contract.reasons import EventRejection
from ingest.contract.records import Outgoing, event_record, read_event
from ingest.contract.topics import ANOMALIES, COHORTS
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analytics.detect.config import DetectConfig
    from ingest.contract.events import AnomalyEvent
    from ingest.contract.records import Record
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/cohorts"
SAVE_MS = 5000
"""How often what led to no anomaly is saved: until then a crash leads to the same records being read again."""


class CohortsStage:
    """See `ingest.runtime.worker.Stage`. What it decides follows from the records alone, in the order of each partition."""

    name = "cohorts"
    topics = (COHORTS,)

    def __init__(self, config: DetectConfig, telemetry: Telemetry) -> None:
        self._config, self._telemetry = config, telemetry
        self._tenants: dict[tuple[int, str], Cohorts] = {}
        self._unsaved: dict[tuple[int, str], None] = {}
        self._saved_at = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take what sites said one by one, so that it does not matter how it is polled."""
        outgoing = [event for record in records for event in self._take(record)]
        self._telemetry.gauge(COHORTS_KNOWN, sum(len(tenant.charts) for tenant in self._tenants.values()))
        due = bool(self._unsaved) and abs(now - self._saved_at) >= SAVE_MS
        if due or outgoing:
            self._saved_at = now
        return StepResult(outgoing, changed=due)

    def snapshot(self) -> Mapping[str, bytes]:
        """Of each tenant that something was said of since."""
        parts = {
            f"{partition}/{tenant}": self._tenants[partition, tenant].dump() for partition, tenant in self._unsaved
        }
        self._unsaved.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue: the parts of the partitions that are ours."""
        for name, dumped in parts.items():
            partition, tenant = name.split("/", 1)
            self._tenant(int(partition), tenant).load(dumped)

    def partition_of(self, part: str) -> int | None:
        """See `ingest.runtime.worker.PartitionedStage`."""
        return int(part.split("/", maxsplit=1)[0])

    def forget(self, partition: int) -> None:
        """Drop its tenants."""
        for key in [key for key in self._tenants if key[0] == partition]:
            del self._tenants[key]
            self._unsaved.pop(key, None)

    def _tenant(self, partition: int, tenant: str) -> Cohorts:
        key = partition, tenant
        if key not in self._tenants:
            self._tenants[key] = Cohorts(tenant, self._config)
        return self._tenants[key]

    def _take(self, record: Record) -> Iterator[Outgoing]:
        said = read_event(record, CohortEvent)
        if said is None:
            if record.value is not None:
                self._telemetry.count(DEAD_LETTERS, topic=record.topic, reason=EventRejection.MALFORMED)
            return
        tenant = self._tenant(record.partition, said.tenant)
        self._unsaved[record.partition, said.tenant] = None
        for event in tenant.take(said, record.timestamp):
            self._telemetry.count(ANALYTICS_ANOMALIES, detector=event.detector, status=event.status)
            yield _record(event)
        for outcome, number in tenant.counts.items():
            self._telemetry.count(COHORT_SUMMARIES, number, outcome=outcome)
        tenant.counts.clear()


def _record(event: AnomalyEvent) -> Outgoing:
    identity = hashlib.sha256(msgspec.json.encode((event.episode, event.status, event.at))).hexdigest()[:32]
    # By metric and labels: all that is said of a cohort stays in order.
    key = "/".join((event.tenant, event.metric, *(value for _, value in event.labels)))
    return event_record(ANOMALIES, key, event, event_id=identity, source=SOURCE, time=event.at)
