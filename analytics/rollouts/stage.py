"""The gate as a stage: plans, device events and acknowledgements in; evidence, verdicts, commands and rollbacks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollback.conduct import Conductor, newest_windows
from analytics.rollback.tracker import Wave
from analytics.rollouts.audit import Audit
from analytics.rollouts.desk import Desk
from analytics.rollouts.facts import ack_fact, alarm_fact, device_fact
from analytics.rollouts.fleet import Fleet
from analytics.rollouts.inbox import TOPICS, Inbox
from analytics.rollouts.places import Places
from ingest.contract.events import AckEvent, AnomalyEvent, DeviceEvent, GatewayEvent, RolloutPlan
from ingest.contract.topics import PLANS, ROLLUPS
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analytics.rollback.actuator import Actuator
    from analytics.rollback.tracker import Tracker
    from analytics.rollouts.config import GateConfig
    from analytics.rollouts.facts import Fact
    from analytics.rollouts.inbox import Taken
    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

_OFFSETS = msgspec.msgpack.Decoder(dict[str, int])


class GateStage:
    """Everything the gate knows, and how it changes. One gate reads all partitions: rollouts span sites."""

    name = "gate"
    topics: tuple[str, ...] = TOPICS

    def __init__(
        self,
        config: GateConfig,
        gateways: Gateways,
        actuators: Sequence[Actuator],
        telemetry: Telemetry,
        *,
        halted: Callable[[], bool] = lambda: False,
        seal: Callable[[list[Outgoing]], list[Outgoing]] = lambda outgoing: outgoing,
    ) -> None:
        self._config, self._seal = config, seal
        self._tenants = sorted({gateway.tenant for gateway in gateways})
        self._inbox, self._fleet = Inbox(gateways, telemetry), Fleet()
        self._places = Places(settle_ms=_ms(config.settle_s), patience_ms=_ms(config.gateway_patience_s))
        self._conductor = Conductor(
            actuators,
            self._fleet,
            telemetry,
            settle_ms=_ms(config.rollback_settle_s),
            approval_ms=_ms(config.approval_s),
            recovery_ms=_ms(config.recovery_s),
            wave=Wave(config.rollback_wave, _ms(config.rollback_wave_s)),
            halted=halted,
        )
        self._desk = Desk(
            self._tenants,
            self._fleet,
            self._conductor,
            telemetry,
            verdict_ms=_ms(config.verdict_s),
            forget_ms=_ms(config.forget_s),
            approval_ms=_ms(config.approval_s),
        )
        self._audit = Audit()
        self._offsets: dict[str, int] = {}
        self._saved_at = 0

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take records, let event time advance, judge, and say what has changed."""
        for record in records:
            self._take(record, now)
            self._offsets[f"{record.topic}/{record.partition}"] = record.offset + 1
        # A full batch means that more is waiting: what a heartbeat stands for may not have been read yet.
        if len(records) < self._config.max_records:
            for place, timeline, facts in self._places.advance(now):
                self._desk.advance(place, timeline, facts, now)
        watermarks = {tenant: self._places.watermarks(tenant) for tenant in self._tenants}
        outgoing = self._seal(self._desk.collect(watermarks, self._offsets, now))
        outgoing += self._audit.entries(outgoing, now)
        return StepResult(outgoing=outgoing, changed=self._is_time_to_save(now), more=self._conductor.goes_on())

    def snapshot(self) -> Mapping[str, bytes]:
        """The parts that may have changed since the last snapshot; an empty part is one that is gone."""
        parts = {"places": self._places.snapshot(), "offsets": msgspec.msgpack.encode(self._offsets)}
        parts["audit"] = self._audit.snapshot()
        parts["anomalies"] = self._conductor.anomalies.snapshot()
        parts |= {f"fleet/{place}": part for place, part in self._fleet.snapshot().items()}
        parts |= {f"actuator/{name}": part for name, part in self._conductor.snapshot().items()}
        return parts | {f"rollout/{name}": part for name, part in self._desk.snapshot().items()}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue from snapshots."""
        restorers: dict[str, Callable[[str, bytes], None]] = {
            "fleet": self._fleet.restore,
            "actuator": self._conductor.restore,
            "rollout": self._desk.restore,
            "audit": lambda _, part: self._audit.restore(part),
            "places": lambda _, part: self._places.restore(part),
            "anomalies": lambda _, part: self._conductor.anomalies.restore(part),
            "offsets": lambda _, part: self._offsets.update(_OFFSETS.decode(part)),
        }
        for name, part in parts.items():
            kind, _, rest = name.partition("/")
            restorers[kind](rest, part)

    def _take(self, record: Record, now: int) -> None:
        if record.topic == ROLLUPS:
            self._take_windows(record)
        elif record.value is not None:
            self._take_event(self._inbox.read(record), now)

    def _take_event(self, taken: Taken, now: int) -> None:
        event, trace = taken.event, taken.trace
        if isinstance(event, DeviceEvent):
            self._fleet.take(event)
            fact = device_fact(event, trace)
            if fact is not None:
                self._add_fact(event.tenant, fact)
            self._tell_trackers(event.tenant, trace, lambda tracker: tracker.on_device(event, now))
        elif isinstance(event, AckEvent):
            self._audit.note_ack(taken.record, event)
            self._add_fact(event.tenant, ack_fact(event, trace))
            self._tell_trackers(event.tenant, trace, lambda tracker: tracker.on_ack(event))
        elif isinstance(event, GatewayEvent):
            self._places.hear(event, taken.record.timestamp, now)
        elif isinstance(event, AnomalyEvent):
            self._conductor.anomalies.take(event)
            alarm = alarm_fact(event, _ms(self._config.alarm_settle_s), trace)
            if alarm is not None and event.tenant in self._tenants:
                self._add_fact(event.tenant, alarm)
        elif taken.record.topic == PLANS:
            self._take_plan(taken, event, now)

    def _take_plan(self, taken: Taken, plan: RolloutPlan | None, now: int) -> None:
        if plan is not None:
            self._audit.note_plan(taken.record, plan)
        watermarks = self._places.watermarks(plan.tenant) if plan else {}
        self._desk.take_plan(taken, plan, watermarks, now)

    def _take_windows(self, record: Record) -> None:
        # Only a rollback asks whether telemetry is back, only a soak what it says: without both, no batch is opened.
        rollouts = [rollout for tenant in self._tenants for rollout in self._desk.of(tenant)]
        if not any(rollout.tracker or rollout.wants_windows() for rollout in rollouts):
            return
        batch = self._inbox.rollups(record)
        if batch is not None:
            origin, newest = batch.origin, newest_windows(batch)
            self._desk.recover(batch)
            self._tell_trackers(origin.tenant, record.trace, lambda t: t.on_windows(origin.site, newest))
            self._desk.soak(batch)

    def _tell_trackers(self, tenant: str, trace: str, tell: Callable[[Tracker], bool]) -> None:
        for rollout in self._desk.of(tenant):
            if rollout.tracker is not None and tell(rollout.tracker):
                self._desk.touch(rollout, trace)

    def _add_fact(self, tenant: str, fact: Fact) -> None:
        if not self._places.add(f"{tenant}/{fact.site}", fact):
            self._desk.note_late(tenant, fact)

    def _is_time_to_save(self, now: int) -> bool:
        due = now - self._saved_at >= _ms(self._config.save_s)
        if due:
            self._saved_at = now
        return due


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
