"""Detection as a stage: who may speak, what is said, and what a restart changes (nothing)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from analytics.detect.config import DetectConfig
from analytics.detect.reasons import AnomalyReason
from analytics.detect.score import calibrated_score
from analytics.detect.stage import DetectStage
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.names import (
    ANALYTICS_ANOMALIES,
    ANALYTICS_ASKED,
    ANALYTICS_OBSERVED,
    ANALYTICS_ROWS,
    ANALYTICS_SERIES,
    ANALYTICS_SERIES_SECONDS,
    DEAD_LETTERS,
)
from ingest.contract.records import TRACE_HEADER, Outgoing, Record
from ingest.contract.topics import ANOMALIES
from ingest.runtime.gateways import Gateways
from ingest.runtime.telemetry import Telemetry
from tests.detect_fleet import Fleet
from tests.rollup_batches import ORIGIN, T0
from tests.signed_gateway import TRACE, SignedGateway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.names import MetricSpec

QUIET, WINDOWS = 40, 60
FLEET = Fleet(10, ("memory_percent",))
CONFIG = DetectConfig(continues_s=3.0, rebaseline_s=1e6)


def read(outgoing: Outgoing, offset: int, partition: int = 0) -> Record:
    return Record(outgoing.topic, partition, offset, outgoing.key, outgoing.value, outgoing.headers, T0)


def history(gateway: SignedGateway, partition: int = 0) -> list[Record]:
    """Quiet, then d0 climbs for ten windows and comes back; one signed record a window."""
    values = np.random.default_rng(1).normal(40, 0.3, (WINDOWS, 10))
    values[QUIET : QUIET + 10, 0] += 4.0 * np.arange(1, 11)
    batches = (msgspec.structs.replace(batch, origin=gateway.origin) for batch in FLEET.batches(values))
    return [read(gateway.sign(batch), offset, partition) for offset, batch in enumerate(batches)]


def stage_for(*gateways: SignedGateway) -> tuple[DetectStage, Telemetry]:
    telemetry = Telemetry("test")
    return DetectStage(CONFIG, Gateways([gateway.config for gateway in gateways]), telemetry), telemetry


def run(stage: DetectStage, records: Sequence[Record]) -> list[Outgoing]:
    return [event for at, record in enumerate(records) for event in stage.step([record], T0 + at * 1000).outgoing]


def counted(telemetry: Telemetry, spec: MetricSpec, **labels: str) -> float:
    return telemetry.registry.get_sample_value(spec.name, labels) or 0.0


def test_an_anomaly_is_told_from_beginning_to_end() -> None:
    gateway = SignedGateway()
    stage, telemetry = stage_for(gateway)
    outgoing = run(stage, history(gateway))
    events = [msgspec.json.decode(record.value or b"", type=AnomalyEvent) for record in outgoing]
    first, last = events[0], events[-1]
    assert [event.status for event in events] == [AnomalyStatus.ENTERED, *([AnomalyStatus.CONTINUES] * 3), last.status]
    assert (first.tenant, first.site, first.device, first.metric) == ("acme", "plant-7", "d0", "memory_percent")
    assert (first.firmware, first.hardware, first.group) == ("2.2.0", "rev-a", "pumps")
    assert (first.reason, last.reason) == (AnomalyReason.POOLED_TAIL, AnomalyReason.BACK_TO_NORMAL)
    assert (last.status, last.since) == (AnomalyStatus.LEFT, first.since)
    assert 0.5 <= first.score <= 1
    assert (first.detector, first.expected) == ("robust_level", pytest.approx(40, abs=1))
    assert counted(telemetry, ANALYTICS_ANOMALIES, detector="robust_level", status="entered") == 1
    assert counted(telemetry, ANALYTICS_SERIES) == 10
    assert counted(telemetry, ANALYTICS_ROWS, outcome="judged") > 0


def test_the_rate_asked_for_and_the_rate_observed_are_shown() -> None:
    gateway = SignedGateway()
    stage, telemetry = stage_for(gateway)
    assert counted(telemetry, ANALYTICS_ASKED) == CONFIG.false_alerts_per_1k_series_day == 0.1
    run(stage, history(gateway)[:QUIET])
    assert counted(telemetry, ANALYTICS_OBSERVED) == 0
    run(stage, history(gateway)[QUIET:])
    days = counted(telemetry, ANALYTICS_ROWS, outcome="judged") / 86_400  # windows of one second
    assert counted(telemetry, ANALYTICS_SERIES_SECONDS) == pytest.approx(86_400 * days)
    assert counted(telemetry, ANALYTICS_OBSERVED) == pytest.approx(1000 * 1 / days)


def test_events_are_keyed_traced_and_always_have_the_same_id() -> None:
    gateway = SignedGateway()
    records = history(gateway)
    outgoing, again = (run(stage_for(gateway)[0], records) for _ in range(2))
    assert outgoing == again
    headers = [dict(record.headers) for record in outgoing]
    assert {record.topic for record in outgoing} == {ANOMALIES}
    assert {record.key for record in outgoing} == {b"plant-7/d0"}
    assert {header[TRACE_HEADER] for header in headers} == {TRACE.encode()}
    assert len({header["ce_id"] for header in headers}) == len(outgoing)


def test_who_is_not_known_is_not_heard() -> None:
    gateway, stranger = SignedGateway(), SignedGateway()
    elsewhere = SignedGateway(ORIGIN._replace(site="plant-8"))
    stage, telemetry = stage_for(gateway, elsewhere)
    good = history(gateway)
    foreign = read(elsewhere.sign_value(good[0].value or b""), 0)  # a known key that speaks for another site
    bad = [
        history(stranger)[0],
        msgspec.structs.replace(good[0], headers=()),
        msgspec.structs.replace(good[0], value=b"\x00" + (good[0].value or b"")[1:]),
        msgspec.structs.replace(good[0], value=None),
        foreign,
        read(gateway.sign_value(b"no batch"), 0),
    ]
    assert stage.step(bad, T0).outgoing == []
    assert counted(telemetry, ANALYTICS_SERIES) == 0
    reasons = {"unknown_gateway": 1, "no_signature": 2, "bad_signature": 1, "foreign_origin": 1, "malformed": 1}
    for reason, number in reasons.items():
        assert counted(telemetry, DEAD_LETTERS, topic="telemetry.rollups.v1", reason=reason) == number
    assert len(run(stage, good)) == 5


@pytest.mark.parametrize("cut", [1, 17, QUIET + 1, QUIET + 3, WINDOWS - 1])
def test_a_restart_says_the_same(cut: int) -> None:
    north, south = SignedGateway(), SignedGateway(ORIGIN._replace(site="south", gateway="gw-2"))
    records = [pair for both in zip(history(north, 3), history(south, 5), strict=True) for pair in both]
    expected = run(stage_for(north, south)[0], records)
    before, after = stage_for(north, south)[0], stage_for(north, south)[0]
    found = run(before, records[: 2 * cut])
    after.restore(dict(before.snapshot()))
    assert found + run(after, records[2 * cut :]) == expected


def test_it_does_not_matter_how_records_are_polled() -> None:
    gateway = SignedGateway()
    records = history(gateway)
    one_by_one, all_at_once = stage_for(gateway)[0], stage_for(gateway)[0]
    assert run(one_by_one, records) == all_at_once.step(records, T0).outgoing
    assert one_by_one.snapshot() == all_at_once.snapshot()


def test_the_state_is_saved_with_what_is_said_and_every_so_often() -> None:
    gateway = SignedGateway()
    stage, _ = stage_for(gateway)
    changed = [stage.step([record], T0 + at * 1000).changed for at, record in enumerate(history(gateway)[:QUIET])]
    assert [at for at, saved in enumerate(changed) if saved] == [0, 10, 20, 30]
    stage.snapshot()
    assert not stage.step([], T0 + 3_600_000).changed
    assert stage.snapshot() == {}


def test_a_score_of_one_half_is_what_was_asked_for() -> None:
    assert calibrated_score(1e-9, 1e-9) == 0.5
    assert calibrated_score(1.0, 1e-9) == 0.0
    assert 0.5 < calibrated_score(1e-12, 1e-9) < calibrated_score(0.0, 1e-9) < 1.0


@pytest.mark.parametrize(
    "wrong", [{"false_alerts_per_1k_series_day": 0}, {"min_windows": 1}, {"max_series": 0}, {"continues_s": 0}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match="expected"):
        msgspec.convert(wrong, DetectConfig)
