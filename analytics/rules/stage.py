"""Rules about series as a stage: verified rollup batches in, conditions out; each partition's state stands for itself."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import msgspec

from analytics.rollups import read_rollups
from analytics.rules.life import Said
from analytics.rules.partition import Partition
from ingest.contract.events import ConditionEvent, ConditionStatus
from ingest.contract.names import RULE_CONDITIONS, RULE_ROWS, RULE_SERIES
from ingest.contract.records import Outgoing, Record, event_record
from ingest.contract.topics import CONDITIONS, ROLLUPS
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.rules.kinds import SeriesRule
    from analytics.rules.windows import Finding
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/rules"
SAVE_MS = 10_000
"""The state is saved at least so often, and whenever something is said."""

_STATUS = {
    Said.HOLDS: ConditionStatus.HOLDS,
    Said.OVER: ConditionStatus.OVER,
    Said.UNKNOWN: ConditionStatus.UNKNOWN,
    Said.WITHDRAWN: ConditionStatus.WITHDRAWN,
}


class RulesStage:
    """See `ingest.runtime.worker.Stage`. Batches are taken one by one, so that it does not matter how they are polled."""

    name = "rules"
    topics = (ROLLUPS,)

    def __init__(
        self, rules: Sequence[SeriesRule], gateways: Gateways, telemetry: Telemetry, most_series: int, forget_ms: int
    ) -> None:
        self._rules, self._gateways, self._telemetry = rules, gateways, telemetry
        self._most_series, self._forget_ms = most_series, forget_ms
        self._partitions: dict[int, Partition] = {}
        self._named: dict[int, tuple[int, int]] = {}
        self._unsaved: set[int] = set()
        self._saved_at = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Judge each batch."""
        outgoing = [event for record in records for event in self._take(record)]
        due = abs(now - self._saved_at) >= SAVE_MS
        self._telemetry.gauge(RULE_SERIES, sum(len(partition.series) for partition in self._partitions.values()))
        changed = bool(self._unsaved) and (due or bool(outgoing))
        if changed:
            self._saved_at = now
        return StepResult(outgoing, changed=changed)

    def snapshot(self) -> Mapping[str, bytes]:
        """The partitions that changed since the last snapshot; names of series only when there are others than before."""
        parts: dict[str, bytes] = {}
        for number in sorted(self._unsaved):
            partition = self._partitions[number]
            version = (len(partition.series), partition.series.version)
            if self._named.get(number) != version:
                parts[f"names-{number}"], self._named[number] = partition.series.names(), version
            parts[f"marks-{number}"] = msgspec.msgpack.encode(partition.series.marks())
            parts[f"rules-{number}"] = partition.rule_state()
        self._unsaved.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue each partition from its snapshot."""
        for name in parts:
            if name.startswith("names-"):
                number = name.removeprefix("names-")
                marks = msgspec.msgpack.decode(parts[f"marks-{number}"], type=dict[str, bytes])
                self._partition(int(number)).load(parts[name], marks, parts[f"rules-{number}"])

    def partition_of(self, part: str) -> int | None:
        """See `ingest.runtime.worker.PartitionedStage`."""
        return int(part.rpartition("-")[2])

    def forget(self, partition: int) -> None:
        """Drop its series and marks."""
        self._partitions.pop(partition, None)
        self._named.pop(partition, None)
        self._unsaved.discard(partition)

    def _partition(self, number: int) -> Partition:
        if number not in self._partitions:
            self._partitions[number] = Partition(self._rules, self._most_series, self._forget_ms)
        return self._partitions[number]

    def _take(self, record: Record) -> list[Outgoing]:
        batch = read_rollups(record, self._gateways, self._telemetry)
        if batch is None:
            return []
        partition = self._partition(record.partition)
        self._unsaved.add(record.partition)
        trace = record.trace
        events = [condition_event(partition, finding) for finding in partition.take(batch)]
        for outcome, rows in partition.counts.items():
            self._telemetry.count(RULE_ROWS, rows, outcome=outcome)
        partition.counts.clear()
        for event in events:
            self._telemetry.count(RULE_CONDITIONS, rule=event.rule, status=event.status)
        return [_record(event, trace) for event in events]


def condition_event(partition: Partition, finding: Finding) -> ConditionEvent:
    """A finding as the contract's event."""
    device, metric = partition.series.name(finding.series)
    attributes = partition.series.attributes[int(partition.series.device[finding.series])]
    ends = finding.between if finding.between and finding.said is Said.HOLDS else (math.inf, math.inf)
    earliest_at, latest_at = (finding.at + round(end * 1000) if math.isfinite(end) else None for end in ends)
    return ConditionEvent(
        tenant=device.tenant,
        site=device.site,
        device=device.device,
        metric=metric.name,
        labels=metric.labels,
        rule=finding.rule.name,
        status=_STATUS[finding.said],
        at=finding.at,
        number=finding.number,
        value=finding.value,
        bound=float(getattr(finding.rule, "above", None) or getattr(finding.rule, "below", None) or 0.0),
        firmware=attributes.firmware,
        hardware=attributes.hardware,
        group=attributes.group,
        earliest_at=earliest_at,
        latest_at=latest_at,
    )


def _record(event: ConditionEvent, trace: str) -> Outgoing:
    identity = (event.tenant, event.site, event.device, event.metric, event.labels, event.rule, event.number)
    name = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
    key = f"{event.site}/{event.device}"
    return event_record(CONDITIONS, key, event, event_id=name, source=SOURCE, time=event.at, trace=trace or None)
