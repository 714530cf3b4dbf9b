"""What incidents are made from, put into one order: anomalies, devices and dark sites, to the topic of summaries, by tenant."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import (
    DARKNESS,
    AlertEvent,
    AlertState,
    AnomalyEvent,
    AnomalyStatus,
    DeviceEvent,
    DeviceState,
    Signal,
    SignalKind,
    SummaryEvent,
)
from ingest.contract.names import DEAD_LETTERS
from ingest.contract.reasons import EventRejection
from ingest.contract.records import event_record, read_event
from ingest.contract.topics import ALERTS, ANOMALIES, DEVICES, SUMMARIES, is_name
from ingest.runtime.gateways import UnverifiedError
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from analytics.incidents.config import IncidentsConfig
    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/incidents"
DARK_ALERT = "SiteDark"
MOST_SIGNALS = 1500
"""Signals in one record: its size stays below a megabyte."""
CLOCK_MS = 1000
"""How often the time is told while somebody waits for it."""

Said = tuple[str, Signal]


class RelayStage:
    """Stateless but for who still needs the time: whoever writes a summary twice writes what changes nothing the second time."""

    name = "incidents.relay"
    topics = (ANOMALIES, DEVICES, ALERTS)

    def __init__(self, config: IncidentsConfig, gateways: Gateways, telemetry: Telemetry) -> None:
        self._gateways, self._telemetry = gateways, telemetry
        longest_s = config.settle_s + max(config.resolve_after_s, config.update_s, config.together_s) + 300.0
        self._awake_ms = round(longest_s * 1000)
        self._said_at: dict[str, int] = {}
        self._told_at: dict[str, int] = {}
        self._readers: dict[str, Callable[[Record], Iterator[Said]]] = {
            ANOMALIES: self._anomaly,
            DEVICES: self._device,
            ALERTS: self._alert,
        }

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Put in order what was said; tell the time where something was said within the last minutes."""
        said: dict[str, list[Signal]] = {}
        for record in records:
            for tenant, signal in self._readers[record.topic](record):
                # No clock is ahead of this one, as far as incidents are concerned.
                said.setdefault(tenant, []).append(msgspec.structs.replace(signal, at=min(signal.at, now)))
        outgoing = [record for tenant, signals in said.items() for record in self._summaries(tenant, signals, now)]
        outgoing += [_record(SummaryEvent(tenant=tenant, at=now)) for tenant in self._waiting(now)]
        return StepResult(outgoing)

    def snapshot(self) -> Mapping[str, bytes]:
        """Who needs the time."""
        return {"said_at": msgspec.msgpack.encode(self._said_at)}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue."""
        if "said_at" in parts:
            self._said_at = msgspec.msgpack.decode(parts["said_at"], type=dict[str, int])

    def _summaries(self, tenant: str, signals: Sequence[Signal], now: int) -> Iterator[Outgoing]:
        self._told_at[tenant] = now
        if any(signal.kind is not SignalKind.DEVICE or signal.active for signal in signals):
            self._said_at[tenant] = now
        for at in range(0, len(signals), MOST_SIGNALS):
            yield _record(SummaryEvent(tenant=tenant, at=now, signals=list(signals[at : at + MOST_SIGNALS])))

    def _waiting(self, now: int) -> list[str]:
        for tenant in [tenant for tenant, at in self._said_at.items() if now - at > self._awake_ms]:
            del self._said_at[tenant]
        waiting = [tenant for tenant in self._said_at if abs(now - self._told_at.get(tenant, 0)) >= CLOCK_MS]
        self._told_at |= dict.fromkeys(waiting, now)
        return waiting

    def _anomaly(self, record: Record) -> Iterator[Said]:
        event = read_event(record, AnomalyEvent)
        if event is None:
            yield from self._malformed(record)
        else:
            yield event.tenant, anomaly_signal(event, record.trace)

    def _alert(self, record: Record) -> Iterator[Said]:
        event = read_event(record, AlertEvent)
        if event is not None and event.name == DARK_ALERT and event.state is not AlertState.PENDING and event.starts_at:
            yield event.tenant, dark_signal(event, record.trace)

    def _device(self, record: Record) -> Iterator[Said]:
        if record.value is None or b"/gateway:" in record.key:
            return
        try:
            event = self._gateways.read(record, DeviceEvent)
        except UnverifiedError as error:
            self._telemetry.count(DEAD_LETTERS, topic=record.topic, reason=error.reason)
            return
        if is_name(event.device) and event.state is not DeviceState.LOST:
            yield event.tenant, device_signal(event, record.trace)

    def _malformed(self, record: Record) -> Iterator[Said]:
        if record.value is not None:
            self._telemetry.count(DEAD_LETTERS, topic=record.topic, reason=EventRejection.MALFORMED)
        yield from ()


def anomaly_signal(event: AnomalyEvent, trace: str = "") -> Signal:
    """What a detector saw."""
    return Signal(
        kind=SignalKind.COHORT if event.sites else SignalKind.ANOMALY,
        site=event.site,
        device=event.device,
        at=event.at,
        since=event.since,
        active=event.status is not AnomalyStatus.LEFT,
        metric=event.metric,
        labels=event.labels,
        value=event.value,
        expected=event.expected,
        scale=event.scale,
        score=event.score,
        firmware=event.firmware,
        hardware=event.hardware,
        group=event.group,
        sites=event.sites,
        devices=event.devices,
        trace=trace,
    )


def device_signal(event: DeviceEvent, trace: str = "") -> Signal:
    """What a device is and whether its lease ran out; a last will says nothing of that."""
    return Signal(
        kind=SignalKind.DEVICE,
        site=event.site,
        device=event.device,
        at=event.at,
        since=event.at,
        active=event.state is DeviceState.SILENT,
        retired=event.state is DeviceState.RETIRED,
        firmware=event.firmware,
        hardware=event.hardware,
        group=event.group,
        trace=trace,
    )


def dark_signal(event: AlertEvent, trace: str = "") -> Signal:
    """A gateway that is not heard: an alert of its own, and its devices' silence is part of the same."""
    active = event.state is AlertState.FIRING
    return Signal(
        kind=SignalKind.DARK,
        site=event.labels.get("site", ""),
        device=event.labels.get("gateway", ""),
        at=event.changed_at,
        since=event.starts_at,
        active=active,
        metric=DARKNESS,
        trace=trace,
    )


def _record(summary: SummaryEvent) -> Outgoing:
    identity = hashlib.sha256(msgspec.json.encode(summary)).hexdigest()[:32]
    trace = next((signal.trace for signal in summary.signals if signal.trace), None)
    return event_record(
        SUMMARIES, summary.tenant, summary, event_id=identity, source=SOURCE, time=summary.at, trace=trace
    )
