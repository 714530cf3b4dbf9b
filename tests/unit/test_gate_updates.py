"""Updates that fail, and alarms: evidence of their own, once a device."""

from __future__ import annotations

import msgspec
import pytest

from analytics.detect.stage import DETECTORS, LEVEL_DETECTOR
from analytics.rollouts.facts import BLIND
from analytics.rollouts.recording import judge, read_judge_plan, read_rows
from ingest.contract.events import (
    AckStatus,
    AnomalyStatus,
    Arm,
    Budget,
    DeviceChange,
    Evidence,
    EvidenceKind,
    Guard,
    GuardKind,
    Outcome,
)
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import CONFIG, SECOND, World
from tests.gate_world import NEW, anomaly, anomaly_event, plan_of

SILENCE = Guard(name="silence", kind=GuardKind.SILENCE, margin=5.0)
UPDATE = Guard(name="update", kind=GuardKind.UPDATE, margin=0.05)
ALARM = Guard(name="alarm", kind=GuardKind.ALARM, margin=2.0)


def rows(world: World, *kinds: EvidenceKind) -> list[Evidence]:
    return [row for row in world.of(EVIDENCE, Evidence) if row.kind in kinds]


def test_updates_that_fail_or_are_refused_fail_the_gate_and_each_counts_once() -> None:
    world = World()
    installs = world.start(plan_of(guards=[UPDATE, SILENCE]))
    for n, command in enumerate(installs[:4]):
        status = AckStatus.REFUSED if n % 2 else AckStatus.FAILED
        answer = world.fleet.ack(command, status, world.now + n, reason="no space left")
        world.take(answer, answer)
        world.take(world.fleet.ack(command, AckStatus.DONE, world.now + 50))
    world.pass_time(1)
    told = rows(world, EvidenceKind.UPDATED, EvidenceKind.UPDATE_FAILED)
    assert [(row.kind, row.detail, row.arm) for row in told] == [
        (EvidenceKind.UPDATE_FAILED, "no space left", Arm.CANARY)
    ] * len(told)
    verdict = world.verdict()
    assert (verdict.verdict, verdict.guilty) == (Outcome.FAIL, "update")
    assert "updates failed or were refused" in verdict.reason


def test_updates_that_are_done_count_for_the_release_and_one_that_expired_for_nothing() -> None:
    world = World()
    installs = world.start(plan_of(guards=[UPDATE, SILENCE]))
    world.install(installs)
    world.take(*(world.fleet.ack(c, AckStatus.DONE, world.now + 1, NEW) for c in installs[1:]))
    world.take(world.fleet.ack(installs[0], AckStatus.EXPIRED, world.now + 1))
    world.pass_time(1)
    assert {row.device for row in rows(world, EvidenceKind.UPDATED)} == {c.device for c in installs[1:]}
    assert rows(world, EvidenceKind.UPDATE_FAILED) == []
    update = world.verdict().guards[0]
    assert update.log10_e_safe > 0 > update.log10_e_harm
    assert "more updates for update" in world.verdict().reason


def test_alarms_count_after_a_while_so_that_both_arms_alarms_have_been_read() -> None:
    world = World()
    installs = world.start(plan_of(guards=[ALARM, SILENCE]))
    world.install(installs)
    world.pass_time(30)
    at = world.now
    canaries = [command.device for command in installs]
    for device in canaries:
        world.take(anomaly("north", device, at, AnomalyStatus.ENTERED))
        world.take(anomaly("north", device, at + 5, AnomalyStatus.CONTINUES))
    world.pass_time(CONFIG.alarm_settle_s - 5)
    assert rows(world, EvidenceKind.ALARMED) == []
    world.pass_time(10)
    told = rows(world, EvidenceKind.ALARMED)
    assert {row.at for row in told} == {at + round(CONFIG.alarm_settle_s * SECOND)}
    assert {row.detail for row in told} == {LEVEL_DETECTOR}
    assert (world.verdict().verdict, world.verdict().guilty) == (Outcome.FAIL, "alarm")


def test_a_detector_that_may_know_the_release_is_no_evidence_and_an_alarm_counts_once_a_device() -> None:
    world = World()
    installs = world.start(plan_of(guards=[ALARM, SILENCE]))
    world.install(installs)
    world.pass_time(30)
    informed = msgspec.structs.replace(
        anomaly_event("north", installs[0].device, world.now, AnomalyStatus.ENTERED), detector="cohort"
    )
    record = anomaly("north", installs[0].device, world.now, AnomalyStatus.ENTERED)
    world.take(msgspec.structs.replace(record, value=msgspec.json.encode(informed)))
    for n, metric in enumerate(("heap", "temp")):
        event = anomaly_event("north", installs[1].device, world.now + n, AnomalyStatus.ENTERED, metric)
        world.take(msgspec.structs.replace(record, value=msgspec.json.encode(event)))
    world.pass_time(100)
    assert [row.device for row in rows(world, EvidenceKind.ALARMED)] == [installs[1].device]


def test_failed_updates_use_up_the_blast_radius() -> None:
    world = World()
    installs = world.start(plan_of(budget=Budget(devices=2)))
    world.take(world.fleet.ack(installs[0], AckStatus.FAILED, world.now + 1, reason="checksum"))
    world.pass_time(1)
    assert "nobody else" not in world.verdict().reason
    world.take(world.fleet.device("north", installs[1].device, world.now + 2, DeviceChange.REBOOTED))
    world.pass_time(1)
    assert "nobody else gets the release: 2 canaries are harmed" in world.verdict().reason


@pytest.mark.parametrize(("failing", "expected"), [(0, Outcome.PASS), (20, Outcome.FAIL)])
def test_recorded_updates_are_judged_too(failing: int, expected: Outcome) -> None:
    plan = read_judge_plan(msgspec.json.encode({"guards": [msgspec.to_builtins(UPDATE), msgspec.to_builtins(SILENCE)]}))
    lines = []
    for n in range(800):
        arm = "canary" if n % 2 else "control"
        lines.append({"kind": "enrolled", "device": f"d{n}", "at": 1, "stratum": "s", "arm": arm})
        if n % 2:
            kind = "update_failed" if n < 2 * failing else "updated"
            lines.append({"kind": kind, "device": f"d{n}", "at": 10 + n})
        lines.append({"kind": "silent", "device": f"d{n}", "at": 10_000 + 7 * n})
    found = judge(plan, read_rows(b"\n".join(map(msgspec.json.encode, lines))))
    assert found.verdict is expected


def test_the_detectors_that_compare_a_series_with_its_own_past_are_believed() -> None:
    assert DETECTORS == BLIND
