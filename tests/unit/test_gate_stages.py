"""Stages: more and more devices get the release, controls that are promoted begin anew, and a budget ends it early."""

from __future__ import annotations

from collections import Counter

import pytest

from analytics.rollouts.assign import draw_arms
from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from analytics.rollouts.soaking import SETTLE_MS
from ingest.contract.events import (
    Arm,
    Budget,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Outcome,
    PlanState,
    RolloutPlan,
    Selection,
    Stage,
)
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import SECOND, World
from tests.gate_world import NEW, T0, Fleet, Reader, commands_in, plan_of, plan_record
from tests.unit.test_gate_soaking import GUARDS, soaks, windows

STAGES = [Stage(share=0.25, soak_s=100.0), Stage(share=0.5, soak_s=200.0), Stage(share=1.0)]


def staged(**changes: object) -> RolloutPlan:
    return plan_of(**({"stages": STAGES, "hold_out": 0.1} | changes))


def arms(world: World) -> dict[str, tuple[Arm, str]]:
    """Each device's arm and wave now."""
    now: dict[str, tuple[Arm, str]] = {}
    for row in world.of(EVIDENCE, Evidence):
        if row.kind is EvidenceKind.ENROLLED:
            assert row.device not in now, "enrolled twice without having left"
            now[row.device] = (row.arm, row.wave)
        elif row.kind is EvidenceKind.CENSORED:
            del now[row.device]
    return now


def counts(world: World) -> Counter[tuple[Arm, str]]:
    return Counter(arms(world).values())


def test_a_stage_follows_when_the_one_before_has_soaked_and_the_hold_out_stays() -> None:
    world = World(Fleet(per_site=40))
    first = world.start(staged())
    assert len(first) == 10
    world.pass_time(95)
    assert counts(world) == {(Arm.CANARY, ""): 10, (Arm.CONTROL, ""): 30}
    second = commands_in(world.pass_time(10), world.key)
    assert counts(world) == {
        (Arm.CANARY, ""): 10,
        (Arm.CANARY, "2"): 10,
        (Arm.CONTROL, "2"): 10,
        (Arm.CONTROL, ""): 10,
    }
    world.restart()
    world.pass_time(190)
    assert counts(world)[(Arm.CANARY, "3")] == 0
    third = commands_in(world.pass_time(10), world.key)
    found = counts(world)
    assert sum(n for (arm, _), n in found.items() if arm is Arm.CANARY) == 36
    assert found[(Arm.CONTROL, "3")] >= 1
    told = [command.device for command in [*first, *second, *third]]
    assert sorted(told) == sorted(device for device, (arm, _) in arms(world).items() if arm is Arm.CANARY)
    before = len(world.appended)
    world.pass_time(10_000)
    assert commands_in(world.appended[before:], world.key) == []


def test_who_is_promoted_knows_nothing_of_what_happened_to_it() -> None:
    quiet, stormy = (World(Fleet(per_site=40)) for _ in range(2))
    for world in (quiet, stormy):
        world.start(staged())
    harmed = [device for device, (arm, _) in arms(stormy).items() if arm is Arm.CONTROL][::2]
    at = stormy.now + 5
    stormy.take(*(stormy.fleet.device("north", d, at + n, DeviceChange.REBOOTED) for n, d in enumerate(harmed)))
    silent = harmed[:5]
    stormy.take(
        *(stormy.fleet.device("north", d, at + 99, DeviceChange.SILENT, state=DeviceState.SILENT) for d in silent)
    )
    for world in (quiet, stormy):
        world.pass_time(110)
    assert arms(quiet) == arms(stormy)


def test_a_promoted_control_begins_anew_and_its_old_wave_counts_it_no_more() -> None:
    world = World(Fleet(per_site=40))
    world.start(staged())
    world.pass_time(110)
    promoted = [device for device, (arm, wave) in arms(world).items() if (arm, wave) == (Arm.CANARY, "2")]
    rows = [row for row in world.of(EVIDENCE, Evidence) if row.device == promoted[0]]
    assert [row.kind for row in rows] == [EvidenceKind.ENROLLED, EvidenceKind.CENSORED, EvidenceKind.ENROLLED]
    assert rows[2].at == rows[1].at + 1
    world.take(*(world.fleet.device("north", d, world.now + 1, DeviceChange.REBOOTED, firmware=NEW) for d in promoted))
    world.pass_time(1)
    crash = world.verdict().guards[0]
    assert (crash.events_canary, crash.events_control) == (len(promoted), 0)
    assert world.verdict().verdict is Outcome.FAIL


def test_who_is_new_or_runs_something_else_meanwhile_is_treated_as_such() -> None:
    world = World(Fleet(per_site=40))
    world.start(staged())
    moved = [device for device, (arm, _) in arms(world).items() if arm is Arm.CONTROL][:10]
    world.take(*(world.fleet.device("north", d, world.now, DeviceChange.INSTALLED, firmware="9.9") for d in moved))
    world.take(*(world.fleet.device("north", f"new-{n}", world.now) for n in range(20)))
    world.pass_time(110)
    found = arms(world)
    assert all(found[device] == (Arm.CONTROL, "") for device in moved)
    new = Counter(arm for device, (arm, _) in found.items() if device.startswith("new-"))
    assert new[Arm.CANARY] >= 1
    assert new[Arm.CONTROL] >= 1


def test_nobody_is_promoted_while_the_plan_is_paused_or_after_it_failed() -> None:
    world = World(Fleet(per_site=40))
    installs = world.start(staged())
    world.take(plan_record(staged(state=PlanState.PAUSED)))
    world.pass_time(200)
    assert counts(world)[(Arm.CANARY, "2")] == 0
    world.take(plan_record(staged()))
    world.crash(installs)
    assert world.verdict().verdict is Outcome.FAIL
    world.pass_time(200)
    assert counts(world)[(Arm.CANARY, "2")] == 0


@pytest.mark.parametrize("budget", [Budget(devices=2), Budget(share=0.2)])
def test_a_blast_radius_that_is_used_up_ends_enrolment_before_the_gate_decides(budget: Budget) -> None:
    world = World(Fleet(("north", "south"), per_site=40))
    fleet = world.fleet
    world.take(*fleet.everyone(T0))
    world.take(plan_record(staged(budget=budget)))
    world.take(fleet.beat("north", world.now + 1))
    world.now += SECOND
    world.take()
    canaries = [device for device, (arm, _) in arms(world).items() if arm is Arm.CANARY]
    world.take(*(fleet.device("north", d, world.now + n, DeviceChange.REBOOTED) for n, d in enumerate(canaries[:2], 1)))
    world.now += 5 * SECOND
    world.take(fleet.beat("north", world.now))
    world.now += SECOND
    world.take()
    assert world.verdict().verdict is Outcome.INCONCLUSIVE
    assert "nobody else gets the release: 2 " in world.verdict().reason
    world.pass_time(300)
    assert len(arms(world)) == 40
    assert counts(world)[(Arm.CANARY, "2")] == 0


def test_a_soak_that_a_later_stage_breaks_off_is_told_only_of_the_new_wave() -> None:
    world = World(Fleet(per_site=40))
    world.start(staged(guards=GUARDS, soak_s=500.0, stages=STAGES[:2]))
    at = world.of(EVIDENCE, Evidence)[0].at
    everyone = world.fleet.names["north"]
    world.take(windows(world, at + 20 * SECOND, dict.fromkeys(everyone, 9.0)))
    world.pass_time(110)
    drawn = {row.device: row.at for row in world.of(EVIDENCE, Evidence) if row.wave == "2"}
    world.take(windows(world, at + 300 * SECOND, dict.fromkeys(everyone, 1.0)))
    world.pass_time(500)
    assert not set(drawn) & set(soaks(world))
    assert all(row.value == 5.0 for row in soaks(world).values())
    world.pass_time(SETTLE_MS / SECOND + 120)
    again = {device: row for device, row in soaks(world).items() if device in drawn}
    assert again
    assert all((row.wave, row.value) == ("2", 1.0) for row in again.values())


def test_every_verdict_of_a_staged_rollout_can_be_reproduced() -> None:
    world = World(Fleet(per_site=40))
    world.install(world.start(staged()))
    world.install(commands_in(world.pass_time(110), world.key))
    canaries = [device for device, (arm, _) in arms(world).items() if arm is Arm.CANARY]
    world.take(*(world.fleet.device("north", d, world.now + n, DeviceChange.REBOOTED) for n, d in enumerate(canaries)))
    world.pass_time(5)
    verdict = world.verdict()
    assert verdict.verdict is Outcome.FAIL
    records = Reader().records([o for o in world.appended if o.topic == EVIDENCE], T0)
    assert differences(verdict, reproduce(staged(), recorded_evidence("fw-2.3", records), verdict)) == {}


def test_percentages_select_the_same_devices_every_time_and_say_nothing_of_the_arm() -> None:
    world = World(Fleet(per_site=200))
    world.start(plan_of(selection=Selection(percent=25.0)))
    found = arms(world)
    assert 30 <= len(found) <= 70
    assert abs(sum(arm is Arm.CANARY for arm, _ in found.values()) - len(found) / 2) <= 1
    again = World(Fleet(per_site=200))
    again.start(plan_of(selection=Selection(percent=25.0)))
    assert arms(again) == found


def test_tags_select_the_devices_that_have_one_of_them() -> None:
    world = World()
    names = world.fleet.names["north"]
    tags = [["pilot", "eu"], ["eu"], ["us"], []]
    world.take(*(world.fleet.device("north", n, world.now, tags=tags[i % 4]) for i, n in enumerate(names)))
    world.restart()
    world.take(plan_record(plan_of(selection=Selection(tags=["pilot", "us"]))))
    world.pass_time(1)
    assert sorted(arms(world)) == [name for i, name in enumerate(names) if i % 4 in (0, 2)]


@pytest.mark.parametrize(
    "stages",
    [[Stage(share=0.0)], [Stage(share=1.1)], [Stage(share=0.5), Stage(share=0.5)], [Stage(share=0.5, soak_s=-1.0)]],
)
def test_stages_that_make_no_sense_are_refused(stages: list[Stage]) -> None:
    world = World()
    letters = world.take(plan_record(plan_of(stages=stages)))
    assert [dict(o.headers)["tidegate_reason"] for o in letters] == [b"bad_stages"]


def test_the_first_stage_leaves_the_hold_out_to_the_controls() -> None:
    assert plan_of(stages=[Stage(share=1.0)]).first_share() == 0.95
    world = World(Fleet(per_site=40))
    world.start(plan_of(stages=[Stage(share=1.0)]))
    assert counts(world) == {(Arm.CANARY, ""): 38, (Arm.CONTROL, ""): 2}
    assert draw_arms([], rollout="fw", seed=0, share=1.0) == []
