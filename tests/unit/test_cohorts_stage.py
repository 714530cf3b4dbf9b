"""Cohorts over sites as a stage: whoever holds a partition says the same, bit for bit, whatever happened before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from analytics.cohorts.stage import CohortsStage
from ingest.contract.events import AnomalyEvent, AnomalyStatus
from ingest.contract.names import ANALYTICS_ANOMALIES, COHORT_SUMMARIES, COHORTS_KNOWN, DEAD_LETTERS
from ingest.contract.records import Record, event_record
from ingest.contract.topics import ANOMALIES, COHORTS
from ingest.runtime.telemetry import Telemetry
from tests.cohort_world import CONFIG, FIRMWARE, LEARNS, SLOT_MS, Fleet, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.names import MetricSpec
    from ingest.contract.records import Outgoing

SHIFTED, SLOTS = LEARNS, LEARNS + 20


def history(tenant: str, partition: int, seed: int) -> list[Record]:
    """Quiet for long, then shifted for ten slots."""
    fleet, found = Fleet(seed=seed), []
    for slot in range(SLOTS):
        fleet.shift(1.0 if SHIFTED <= slot < SHIFTED + 10 else 0.0, firmware=FIRMWARE)
        for site in fleet.sites:
            event = msgspec.structs.replace(site.says(slot), tenant=tenant)
            made = event_record(COHORTS, tenant, event, event_id="e", source="t", time=event.at)
            found.append(Record(COHORTS, partition, len(found), made.key, made.value, made.headers, moment(slot)))
    return found


def both() -> list[Record]:
    return [record for pair in zip(history("acme", 3, 1), history("other", 5, 2), strict=True) for record in pair]


def stage() -> CohortsStage:
    return CohortsStage(CONFIG, Telemetry("test"))


def run(worker: CohortsStage, records: Sequence[Record]) -> list[Outgoing]:
    return [event for record in records for event in worker.step([record], record.timestamp).outgoing]


def counted(telemetry: Telemetry, spec: MetricSpec, **labels: str) -> float:
    return telemetry.registry.get_sample_value(spec.name, labels) or 0.0


def test_a_shift_is_told_as_an_anomaly_of_the_cohort() -> None:
    telemetry = Telemetry("test")
    told = run(CohortsStage(CONFIG, telemetry), history("acme", 3, 1))
    events = [msgspec.json.decode(record.value or b"", type=AnomalyEvent) for record in told]
    assert [event.status for event in events if event.status is not AnomalyStatus.CONTINUES] == ["entered", "left"]
    assert {(record.topic, record.key) for record in told} == {
        (ANOMALIES, b"acme/temperature/2.2.0/rev-b/60000"),
    }
    assert len({dict(record.headers)["ce_id"] for record in told}) == len(told)
    assert counted(telemetry, ANALYTICS_ANOMALIES, detector="cohort_shift", status="entered") == 1
    assert counted(telemetry, COHORT_SUMMARIES, outcome="taken") == 5 * SLOTS
    assert counted(telemetry, COHORTS_KNOWN) == 2


@pytest.mark.parametrize(
    ("killed", "split", "back"), [(5, 200, 5 * SHIFTED + 3), (5 * SHIFTED + 31, 5 * SHIFTED + 36, 5 * SLOTS - 40)]
)
def test_killed_split_over_two_members_and_moved_back_it_says_the_same(killed: int, split: int, back: int) -> None:
    records = both()
    expected = _by_key(run(stage(), records))
    alone, again = stage(), stage()
    found = run(alone, records[: 2 * killed])
    saved = dict(alone.snapshot())
    run(alone, records[2 * killed : 2 * killed + 9])  # what was done after the last snapshot went with the process
    again.restore(saved)
    found += run(again, records[2 * killed : 2 * split])
    saved |= dict(again.snapshot())
    for partition in (3, 5):
        member = stage()
        member.restore({name: part for name, part in saved.items() if member.partition_of(name) == partition})
        found += run(member, [record for record in records[2 * split : 2 * back] if record.partition == partition])
        saved |= dict(member.snapshot())
    together = stage()
    together.restore(saved)
    found += run(together, records[2 * back :])
    assert _by_key(found) == expected
    assert len(expected) == 2


def test_it_does_not_matter_how_records_are_polled() -> None:
    records = both()
    one_by_one, all_at_once = stage(), stage()
    assert run(one_by_one, records) == all_at_once.step(records, 0).outgoing
    assert one_by_one.snapshot() == all_at_once.snapshot()


def test_a_partition_that_has_gone_is_forgotten() -> None:
    worker = stage()
    run(worker, both()[:100])
    worker.forget(3)
    assert list(worker.snapshot()) == ["5/other"]
    worker.forget(5)
    assert worker.snapshot() == {}


def test_the_state_is_saved_every_so_often() -> None:
    worker, records = stage(), history("acme", 3, 1)
    assert worker.step(records[:1], SLOT_MS).changed
    worker.snapshot()
    assert not worker.step([], SLOT_MS + 60_000).changed
    assert not worker.step(records[1:2], SLOT_MS + 1000).changed
    assert worker.step([], SLOT_MS + 60_000).changed


@pytest.mark.parametrize("value", [b"{", b"{}", b'{"tenant": "acme"}', b"\xff"])
def test_what_cannot_be_read_is_counted(value: bytes) -> None:
    telemetry = Telemetry("test")
    worker = CohortsStage(CONFIG, telemetry)
    broken = msgspec.structs.replace(history("acme", 3, 1)[0], value=value)
    assert worker.step([broken, msgspec.structs.replace(broken, value=None)], 0).outgoing == []
    assert counted(telemetry, DEAD_LETTERS, topic=COHORTS, reason="malformed") == 1


def _by_key(events: list[Outgoing]) -> dict[bytes, list[Outgoing]]:
    told: dict[bytes, list[Outgoing]] = {}
    for event in events:
        told.setdefault(event.key, []).append(event)
    return told
