"""Detection as a stage: verified rollup batches in, anomaly events out; each partition's state stands for itself."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import msgspec

from analytics.detect.engine import Decision, Engine
from analytics.detect.reasons import AnomalyReason
from analytics.detect.round import Change
from ingest.contract.batch_checks import BadBatchError
from ingest.contract.batch_wire import decode_batch
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.names import ANALYTICS_ANOMALIES, ANALYTICS_ROWS, ANALYTICS_SERIES, DEAD_LETTERS
from ingest.contract.records import TRACE_HEADER, Outgoing, Record, event_record
from ingest.contract.topics import ANOMALIES, ROLLUPS
from ingest.runtime.gateways import Gateways, UnverifiedError
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.detect.config import DetectConfig
    from ingest.contract.batch import RollupBatch
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/detect"
LEVEL_DETECTOR = "robust_level"
RATE_DETECTOR = "robust_rate"

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

    def __init__(self, config: DetectConfig, gateways: Gateways, telemetry: Telemetry) -> None:
        self._config, self._gateways, self._telemetry = config, gateways, telemetry
        self._engines: dict[int, Engine] = {}
        self._unsaved: set[int] = set()
        self._saved_at = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Decide on each batch; save when something is said, and every `snapshot_s`."""
        outgoing = [event for record in records for event in self._take(record)]
        due = now - self._saved_at >= self._config.snapshot_s * 1000
        self._telemetry.gauge(ANALYTICS_SERIES, sum(len(engine.table) for engine in self._engines.values()))
        changed = bool(self._unsaved) and (due or bool(outgoing))
        if changed:
            self._saved_at = now
        return StepResult(outgoing, changed=changed)

    def snapshot(self) -> Mapping[str, bytes]:
        """The partitions that changed since the last snapshot."""
        parts = {f"partition-{partition}": self._engines[partition].dump() for partition in sorted(self._unsaved)}
        self._unsaved.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue each partition from its snapshot."""
        for name, dumped in parts.items():
            self._engine(int(name.removeprefix("partition-"))).load(dumped)

    def _engine(self, partition: int) -> Engine:
        if partition not in self._engines:
            self._engines[partition] = Engine(self._config)
        return self._engines[partition]

    def _take(self, record: Record) -> list[Outgoing]:
        try:
            batch = self._read(record)
        except (UnverifiedError, BadBatchError) as error:
            # The central door keeps it as a dead letter; here it is only passed over.
            self._telemetry.count(DEAD_LETTERS, topic=ROLLUPS, reason=str(error.reason))
            return []
        engine = self._engine(record.partition)
        self._unsaved.add(record.partition)
        decisions = engine.step(batch)
        self._count(engine)
        trace = (record.header(TRACE_HEADER) or b"").decode("ascii", "replace")
        return [self._event(decision, trace) for decision in decisions]

    def _read(self, record: Record) -> RollupBatch:
        signer = self._gateways.verify(record)
        batch = decode_batch(record.value or b"")
        self._gateways.check_origin(signer, batch.origin.tenant, batch.origin.site, batch.origin.gateway)
        return batch

    def _count(self, engine: Engine) -> None:
        for outcome, rows in engine.counts.items():
            self._telemetry.count(ANALYTICS_ROWS, rows, outcome=outcome)
        engine.counts.clear()

    def _event(self, decision: Decision, trace: str) -> Outgoing:
        event = anomaly_event(decision)
        self._telemetry.count(ANALYTICS_ANOMALIES, detector=event.detector, status=event.status)
        key = f"{event.site}/{event.device}"
        return event_record(
            ANOMALIES, key, event, event_id=event_id(event), source=SOURCE, time=event.at, trace=trace or None
        )


def anomaly_event(decision: Decision) -> AnomalyEvent:
    """A decision as the contract's event."""
    why = AnomalyReason.POOLED_TAIL if decision.pooled else AnomalyReason.OWN_PAST
    return AnomalyEvent(
        tenant=decision.device.tenant,
        site=decision.device.site,
        device=decision.device.device,
        metric=decision.metric.name,
        labels=decision.metric.labels,
        status=_STATUS.get(decision.change, AnomalyStatus.LEFT),
        detector=RATE_DETECTOR if decision.rated else LEVEL_DETECTOR,
        at=decision.at,
        since=decision.since,
        value=float(decision.value),
        expected=float(decision.expected),
        scale=float(decision.scale),
        score=calibrated_score(decision.tail_probability, decision.asked_probability),
        tail_probability=float(decision.tail_probability),
        reason=_LEFT.get(decision.change, why),
        firmware=decision.attributes.firmware,
        hardware=decision.attributes.hardware,
        group=decision.attributes.group,
    )


def calibrated_score(tail_probability: float, asked_probability: float) -> float:
    """0 to 1: one half where the tail probability is the one asked for; in between by their logarithms."""
    rarity = -math.log(max(tail_probability, 1e-300))
    asked = -math.log(asked_probability)
    return float(f"{rarity / (rarity + asked):.9g}")


def event_id(event: AnomalyEvent) -> str:
    """Equal whenever the same event is written again."""
    identity = (event.tenant, event.site, event.device, event.metric, event.labels, event.since, event.status, event.at)
    return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
