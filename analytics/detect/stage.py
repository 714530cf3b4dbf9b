"""Detection as a stage: verified rollup batches in, anomaly events out; each partition's state stands for itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from analytics.detect.classes import TOGETHER_DETECTOR, Classes
from analytics.detect.engine import Decision, Engine
from analytics.detect.feedback import Normal, counts
from analytics.detect.merge import Detector
from analytics.detect.observed import Observed
from analytics.detect.reasons import AnomalyReason
from analytics.detect.round import Change
from analytics.detect.score import calibrated_score
from analytics.detectors.signals import NAMES
from analytics.rollups import read_rollups
from ingest.contract.events import AnomalyEvent, AnomalyStatus, FeedbackEvent, episode_of
from ingest.contract.names import (
    ANALYTICS_ANOMALIES,
    ANALYTICS_FEEDBACK,
    ANALYTICS_ROWS,
    ANALYTICS_SERIES,
    ANALYTICS_WITHHELD,
)
from ingest.contract.records import Outgoing, Record, event_record, read_event
from ingest.contract.topics import ANOMALIES, COHORTS, FEEDBACK, ROLLUPS
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analytics.detect.config import DetectConfig
    from ingest.contract.events import CohortEvent
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/detect"
LEVEL_DETECTOR = "robust_level"
RATE_DETECTOR = "robust_rate"
DETECTORS = {LEVEL_DETECTOR, RATE_DETECTOR, TOGETHER_DETECTOR} | {
    one.name.lower() for one in Detector if one is not Detector.LEVEL
}
"""What an event's `detector` may be."""

_CLASSES = "classes-"
_LEFT = {
    Change.CALMED: AnomalyReason.BACK_TO_NORMAL,
    Change.NEW_NORMAL: AnomalyReason.NEW_NORMAL,
    Change.RELEARNED: AnomalyReason.RELEARNED,
}
_STATUS = {Change.ENTERED: AnomalyStatus.ENTERED, Change.CONTINUES: AnomalyStatus.CONTINUES}


class DetectStage:
    """See `ingest.runtime.worker.Stage`. Batches are taken one by one, so that it does not matter how they are polled."""

    name = "detect"
    topics = (ROLLUPS,)
    everywhere = (FEEDBACK,)
    """What every member of the group reads: feedback holds for series of all partitions."""

    def __init__(self, config: DetectConfig, gateways: Gateways, telemetry: Telemetry) -> None:
        self._config, self._gateways, self._telemetry = config, gateways, telemetry
        self._engines: dict[int, Engine] = {}
        self._classes: dict[int, Classes] = {}
        self._unsaved: set[int] = set()
        self._saved_at = 0
        self._normal = Normal()
        self._observed = Observed(config.false_alerts_per_1k_series_day, telemetry)

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Decide on each batch; save when something is said, and every `snapshot_s`."""
        outgoing = [event for record in self._after_feedback(records) for event in self._take(record)]
        due = now - self._saved_at >= self._config.snapshot_s * 1000
        self._telemetry.gauge(ANALYTICS_SERIES, sum(len(engine.table) for engine in self._engines.values()))
        changed = bool(self._unsaved) and (due or bool(outgoing))
        if changed:
            self._saved_at = now
            outgoing += self._cohorts()
        return StepResult(outgoing, changed=changed)

    def snapshot(self) -> Mapping[str, bytes]:
        """The partitions that changed since the last snapshot."""
        parts = {f"partition-{partition}": self._engines[partition].dump() for partition in sorted(self._unsaved)}
        parts |= {f"{_CLASSES}{number}": self._classes[number].dump() for number in self._unsaved & set(self._classes)}
        parts |= self._normal.parts(sorted(self._unsaved))
        self._unsaved.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue each partition from its snapshot."""
        for name, dumped in parts.items():
            if name.startswith(_CLASSES):
                self._classes_of(int(name.removeprefix(_CLASSES))).load(dumped)
            elif not self._normal.restore(name, dumped):
                self._engine(int(name.removeprefix("partition-"))).load(dumped)

    def partition_of(self, part: str) -> int | None:
        """See `ingest.runtime.worker.PartitionedStage`; what people said belongs to all."""
        number = part.rpartition("-")[2]
        return int(number) if number.isdecimal() else None

    def forget(self, partition: int) -> None:
        """Drop its series, alarms, pools and classes."""
        self._engines.pop(partition, None)
        self._classes.pop(partition, None)
        self._normal.withheld.pop(partition, None)
        self._unsaved.discard(partition)

    def _after_feedback(self, records: Sequence[Record]) -> list[Record]:
        # What people said holds from its own time on: it is known before windows are looked at that came along with it.
        others = [record for record in records if record.topic != FEEDBACK]
        if len(others) == len(records):
            return others
        for record in records:
            said = read_event(record, FeedbackEvent) if record.topic == FEEDBACK else None
            if said is not None:
                self._normal.take(said)
        for scope, number in counts(self._normal.said).items():
            self._telemetry.gauge(ANALYTICS_FEEDBACK, number, scope=scope)
        return others

    def _engine(self, partition: int) -> Engine:
        if partition not in self._engines:
            self._engines[partition] = Engine(self._config)
        return self._engines[partition]

    def _classes_of(self, partition: int) -> Classes:
        if partition not in self._classes:
            self._classes[partition] = Classes(self._config)
        return self._classes[partition]

    def _take(self, record: Record) -> list[Outgoing]:
        batch = read_rollups(record, self._gateways, self._telemetry)
        if batch is None:
            return []
        engine = self._engine(record.partition)
        self._unsaved.add(record.partition)
        decisions = engine.step(batch)
        trace = record.trace
        found = [anomaly_event(decision) for decision in decisions]
        if self._config.together:
            classes = self._classes_of(record.partition)
            found += classes.step(batch)
            self._telemetry.count(ANALYTICS_ROWS, classes.take_full(), outcome="together_full")
        told = list(self._normal.let_through(record.partition, found))
        self._telemetry.count(ANALYTICS_WITHHELD, len(found) - len(told))
        begun = sum(event.status is AnomalyStatus.ENTERED for event in told)
        self._observed.saw(batch, engine.counts["judged"], begun)
        self._count(engine)
        return [self._event(event, trace) for event in told]

    def _cohorts(self) -> Iterator[Outgoing]:
        # Said when the state is saved anyway: to save a large one costs more than to say it. Slot by slot, as far as may be.
        said = [event for partition in sorted(self._unsaved) for event in self._engines[partition].cohorts]
        for partition in self._unsaved:
            self._engines[partition].cohorts = []
        yield from (_cohort_record(event) for event in sorted(said, key=lambda one: one.at))

    def _count(self, engine: Engine) -> None:
        for outcome, rows in engine.counts.items():
            self._telemetry.count(ANALYTICS_ROWS, rows, outcome=outcome)
        engine.counts.clear()

    def _event(self, event: AnomalyEvent, trace: str) -> Outgoing:
        self._telemetry.count(ANALYTICS_ANOMALIES, detector=event.detector, status=event.status)
        key = f"{event.site}/{event.device}"
        return event_record(
            ANOMALIES, key, event, event_id=event_id(event), source=SOURCE, time=event.at, trace=trace or None
        )


def _cohort_record(event: CohortEvent) -> Outgoing:
    identity = hashlib.sha256(msgspec.json.encode(event)).hexdigest()[:32]
    return event_record(COHORTS, event.tenant, event, event_id=identity, source=SOURCE, time=event.at)


def anomaly_event(decision: Decision) -> AnomalyEvent:
    """A decision as the contract's event."""
    why = AnomalyReason.POOLED_TAIL if decision.pooled else AnomalyReason.OWN_PAST
    event = AnomalyEvent(
        tenant=decision.device.tenant,
        site=decision.device.site,
        device=decision.device.device,
        metric=decision.metric.name,
        labels=decision.metric.labels,
        status=_STATUS.get(decision.change, AnomalyStatus.LEFT),
        detector=_detector(decision),
        at=decision.at,
        since=decision.since,
        value=float(decision.value),
        expected=float(decision.expected),
        scale=float(decision.scale),
        score=calibrated_score(decision.tail_probability, decision.asked_probability),
        tail_probability=float(decision.tail_probability),
        promised_rate=float(decision.promised_rate),
        signal=NAMES[decision.signal] if decision.detector is Detector.NOVELTY else "",
        reason=_LEFT.get(decision.change, why),
        firmware=decision.attributes.firmware,
        hardware=decision.attributes.hardware,
        group=decision.attributes.group,
    )
    return msgspec.structs.replace(event, episode=episode_of(event))


def _detector(decision: Decision) -> str:
    if decision.detector is not Detector.LEVEL:
        return decision.detector.name.lower()
    return RATE_DETECTOR if decision.rated else LEVEL_DETECTOR


def event_id(event: AnomalyEvent) -> str:
    """Equal whenever the same event is written again."""
    identity = (event.tenant, event.site, event.device, event.metric, event.labels, event.since, event.status, event.at)
    return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
