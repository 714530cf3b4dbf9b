"""Live soaks: from rollup windows to evidence, the own past included; what is sent again is taken once."""

from __future__ import annotations

import msgspec
import pytest

from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from analytics.rollouts.soaking import SETTLE_MS
from ingest.contract.events import Arm, DeviceChange, DeviceState, Evidence, EvidenceKind, Guard, GuardKind, RolloutPlan
from ingest.contract.records import Outgoing, Record
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import SECOND, World
from tests.gate_world import plan_of, plan_record
from tests.rollup_batches import Row

GUARDS = [
    Guard(name="silence", kind=GuardKind.SILENCE, margin=5.0),
    Guard(name="slow", kind=GuardKind.SOAK, metric="latency", margin=1.25),
]


def soak_plan(**changes: object) -> RolloutPlan:
    return plan_of(guards=GUARDS, soak_s=100.0, **changes)


def windows(world: World, start: int, values: dict[str, float], metric: str = "latency") -> Outgoing:
    rows = [
        Row(device=name, metric=metric, start=start, width=10 * SECOND, values=(value, value))
        for name, value in values.items()
    ]
    return world.fleet.measured("north", rows)


def soaks(world: World) -> dict[str, Evidence]:
    return {row.device: row for row in world.of(EVIDENCE, Evidence) if row.kind is EvidenceKind.SOAKED}


def drawn(plan: RolloutPlan) -> tuple[World, dict[str, Arm], int]:
    world = World()
    world.start(plan)
    rows = world.of(EVIDENCE, Evidence)
    return world, {row.device: row.arm for row in rows}, rows[0].at


def test_a_soak_is_the_mean_of_its_windows_in_both_arms_and_is_told_once() -> None:
    world, arms, at = drawn(soak_plan())
    begin = at + 20 * SECOND
    world.take(windows(world, begin - 5 * SECOND, dict.fromkeys(arms, 900.0)))
    for n, level in enumerate((10.0, 30.0)):
        batch = windows(world, begin + 10 * n * SECOND, dict.fromkeys(arms, level))
        world.take(batch, batch)
    world.take(windows(world, begin, dict.fromkeys(arms, 900.0)))
    world.take(windows(world, begin + 95 * SECOND, dict.fromkeys(arms, 900.0)))
    world.take(windows(world, begin + 20 * SECOND, dict.fromkeys(arms, 900.0), metric="heap"))
    assert soaks(world) == {}
    world.pass_time(20 + 100 + SETTLE_MS / SECOND)
    found = soaks(world)
    assert set(found) == set(arms)
    assert {(row.metric, row.value, row.before, row.at) for row in found.values()} == {
        ("latency", 20.0, None, begin + 100 * SECOND + SETTLE_MS)
    }
    count = len(world.of(EVIDENCE, Evidence))
    world.pass_time(500)
    assert len(world.of(EVIDENCE, Evidence)) == count
    slow = next(guard for guard in world.verdict().guards if guard.name == "slow")
    assert (slow.events_canary, slow.events_control) == (12, 12)


def test_the_draw_waits_for_the_devices_own_past() -> None:
    world = World()
    names = world.fleet.names["north"]
    world.take(*world.fleet.everyone(world.now))
    world.take(plan_record(soak_plan(baseline_s=60.0)))
    world.pass_time(5)
    world.take(windows(world, world.now, {name: float(n + 1) for n, name in enumerate(names)}))
    world.pass_time(30)
    assert world.of(EVIDENCE, Evidence) == []
    world.pass_time(40)
    assert len(world.of(EVIDENCE, Evidence)) == len(names)
    world.restart()
    begin = world.of(EVIDENCE, Evidence)[0].at + 20 * SECOND
    world.take(windows(world, begin, {name: 2.0 * (n + 1) for n, name in enumerate(names)}))
    world.restart()
    world.pass_time(20 + 100 + SETTLE_MS / SECOND + 1)
    assert {n: (row.before, row.value) for n, row in soaks(world).items()} == {
        name: (float(n + 1), 2.0 * (n + 1)) for n, name in enumerate(names)
    }


def test_a_device_that_fell_silent_or_left_has_no_soak() -> None:
    world, arms, at = drawn(soak_plan())
    gone, retired, heard, *_ = sorted(arms)
    world.take(windows(world, at + 20 * SECOND, dict.fromkeys((gone, retired, heard), 5.0)))
    later = at + 50 * SECOND
    world.take(world.fleet.device("north", gone, later, DeviceChange.SILENT, state=DeviceState.SILENT))
    world.take(world.fleet.device("north", retired, later, DeviceChange.RETIRED, state=DeviceState.RETIRED))
    world.pass_time(300)
    assert set(soaks(world)) == {heard}


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_slow_release_fails_by_its_soaks_and_replays_byte_for_byte(factor: float) -> None:
    world, arms, at = drawn(soak_plan())
    values = {
        d: (factor if arm is Arm.CANARY else 1.0) * (1 + n / 100) for n, (d, arm) in enumerate(sorted(arms.items()))
    }
    world.take(windows(world, at + 20 * SECOND, values))
    world.pass_time(300)
    verdict = world.verdict()
    assert (verdict.guilty == "slow") == (factor > 1)
    records = [
        Record(o.topic, 0, n, o.key, o.value, o.headers, 0) for n, o in enumerate(world.appended) if o.topic == EVIDENCE
    ]
    evidence = recorded_evidence("fw-2.3", records)
    assert differences(verdict, reproduce(soak_plan(), evidence, verdict)) == {}
    assert msgspec.json.decode(records[-1].value or b"", type=Evidence).kind is EvidenceKind.SOAKED
