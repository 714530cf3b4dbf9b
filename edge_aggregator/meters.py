"""The gateway's metrics, told from what the core says of itself; on the event loop only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ingest.contract import names
from ingest.contract.events import DeviceState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.core import Standing
    from edge_aggregator.flush import Flushed
    from edge_aggregator.ledger import Totals
    from ingest.contract.names import MetricSpec
    from ingest.runtime.telemetry import Telemetry


class Meters:
    """Counters go on from what they were when the process started."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._told: dict[str, Counter[tuple[str, ...]]] = {}

    def begin(self, standing: Standing, now: int) -> None:
        """The counts of an earlier life are no news."""
        self._told[names.EDGE_SAMPLES.name] = _samples(standing.totals)
        self._standing_gauges(standing, now)

    def flushed(self, flushed: Flushed, standing: Standing, now: int) -> None:
        """After a flush at `now` (ms)."""
        self._count(names.EDGE_QUARANTINED, Counter({(): standing.quarantined}))
        self._count(names.EDGE_SAMPLES, _samples(standing.totals))
        self._count(names.EDGE_COMMANDS, _keyed(standing.commands))
        self._add(names.EDGE_CONFLICTS, flushed.conflicts)
        self._add(names.EDGE_SKEWED, flushed.pending.skewed)
        for reason, count in flushed.pending.events_rejected.items():
            self._add(names.EDGE_EVENTS_REJECTED, count, reason=reason)
        for reason, count in flushed.pending.overflowed.items():
            self._add(names.EDGE_OVERFLOW, count, reason=reason)
        self._count_rejected_answers(standing.answers_rejected)
        for target, count in standing.alarms_dropped.items():
            told = self._told.setdefault("alarms dropped", Counter())
            self._add(names.EDGE_ALARM_DELIVERIES, count - told[(target,)], target=target, outcome="dropped")
            told[(target,)] = count
        self._standing_gauges(standing, now)

    def acknowledged(self, size: int, lag_s: float | None) -> None:
        """Kafka has so many more bytes; `lag_s` where it is known."""
        self._add(names.EDGE_SENT_BYTES, size)
        if lag_s is not None:
            self._telemetry.observe(names.EDGE_LAG_SECONDS, lag_s)

    def committed(self, seconds: float, messages: Iterable[tuple[str, int]]) -> None:
        """After a commit."""
        self._telemetry.observe(names.EDGE_COMMIT_SECONDS, seconds)
        for receiver, count in messages:
            self._add(names.EDGE_MESSAGES, count, receiver=receiver)

    def _standing_gauges(self, standing: Standing, now: int) -> None:
        oldest = standing.oldest_unsent
        self._telemetry.gauge(names.EDGE_OLDEST_UNSENT, 0.0 if oldest is None else max(0, now - oldest) / 1000)
        self._telemetry.gauge(names.EDGE_OPEN_SAMPLES, standing.totals.open)
        self._telemetry.gauge(names.EDGE_JOURNAL_BYTES, standing.journal_bytes)
        self._telemetry.gauge(names.EDGE_OUTBOX_BYTES, standing.outbox_bytes)
        self._telemetry.gauge(names.EDGE_OUTBOX_RECORDS, standing.outbox_records)
        self._telemetry.gauge(names.EDGE_SERIES, standing.series)
        for level, ahead in standing.clocks.items():
            self._telemetry.gauge(names.EDGE_CLOCKS, ahead / 1000, level=f"{level:g}")
        for (rule, alarm_state), count in standing.alarms.items():
            self._telemetry.gauge(names.EDGE_ALARMS, count, rule=rule, state=alarm_state)
        for state in DeviceState:
            self._telemetry.gauge(names.EDGE_DEVICES, standing.devices.get(state.value, 0), state=state.value)

    def _count_rejected_answers(self, counts: Mapping[str, int]) -> None:
        told = self._told.setdefault("answers", Counter())
        for reason, count in counts.items():
            self._add(names.EDGE_EVENTS_REJECTED, count - told[(reason,)], reason=reason)
            told[(reason,)] = count

    def _count(self, spec: MetricSpec, counts: Counter[tuple[str, ...]]) -> None:
        told = self._told.setdefault(spec.name, Counter())
        for labels, count in counts.items():
            self._add(spec, count - told[labels], **dict(zip(spec.labels, labels, strict=True)))
        # What was dropped was rolled up before: that count falls, and is told again when it is higher than ever.
        self._told[spec.name] = told | counts

    def _add(self, spec: MetricSpec, amount: float, **labels: str) -> None:
        if amount > 0:
            self._telemetry.count(spec, amount, **labels)


def tell_limits(telemetry: Telemetry, config: EdgeConfig) -> None:
    """How large the journal and the outbox may become from now on."""
    telemetry.gauge(names.EDGE_LIMIT_BYTES, config.journal_bytes, room="journal")
    telemetry.gauge(names.EDGE_LIMIT_BYTES, config.outbox_bytes, room="outbox")


def _samples(totals: Totals) -> Counter[tuple[str, ...]]:
    counts = {
        ("received", ""): totals.received,
        ("rolled_up", ""): totals.rolled_up,
        ("duplicate", ""): totals.duplicate,
    }
    counts |= {("rejected", reason): count for reason, count in totals.rejected.items()}
    counts |= {("dropped", reason): count for reason, count in totals.dropped.items()}
    return Counter(counts)


def _keyed(counts: Mapping[str, int]) -> Counter[tuple[str, ...]]:
    return Counter({(name,): count for name, count in counts.items()})
