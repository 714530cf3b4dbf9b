"""A dark site is nobody's harm; canaries that fall silent as a whole while their controls go on are."""

from __future__ import annotations

from ingest.contract.events import (
    AckStatus,
    Arm,
    Budget,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Outcome,
    RolloutPlan,
    Stage,
)
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import SECOND, World
from tests.gate_world import Fleet, plan_of

OUTAGE_S = 30.0


def plan(**changes: object) -> RolloutPlan:
    return plan_of(outage_s=OUTAGE_S, budget=Budget(devices=1), **changes)


def evidence(world: World, kind: EvidenceKind, site: str = "north") -> list[Evidence]:
    return [row for row in world.of(EVIDENCE, Evidence) if row.kind is kind and row.site == site]


def arms(world: World, site: str = "north") -> dict[str, Arm]:
    return {row.device: row.arm for row in evidence(world, EvidenceKind.ENROLLED, site)}


def fall_silent(world: World, names: list[str], site: str = "north") -> None:
    """One after the other, over ten seconds."""
    for n, name in enumerate(names):
        at = world.now + n * 10 * SECOND // len(names)
        world.take(world.fleet.device(site, name, at, DeviceChange.SILENT, state=DeviceState.SILENT))
    world.pass_time(11)


def come_back(world: World, names: list[str], change: DeviceChange = DeviceChange.RETURNED) -> None:
    for n, name in enumerate(names):
        world.take(world.fleet.device("north", name, world.now + n, change))
    world.pass_time(1)


def dark_world() -> tuple[World, list[str]]:
    """All of a site is silent; another one goes on."""
    world = World(Fleet(("north", "south")))
    world.start(plan())
    names = world.fleet.names["north"]
    fall_silent(world, names)
    world.pass_time(OUTAGE_S)
    return world, names


def test_devices_of_a_dark_site_leave_unharmed_in_both_arms() -> None:
    world, names = dark_world()
    left = evidence(world, EvidenceKind.CENSORED)
    assert {row.device for row in left} == set(names)
    assert {row.detail for row in left} == {"site outage: all devices in both arms are silent"}
    assert len({row.at for row in left}) == 1
    assert evidence(world, EvidenceKind.SILENT) == evidence(world, EvidenceKind.CENSORED, "south") == []
    verdict = world.verdict()
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert all(guard.events_canary == guard.events_control == 0 for guard in verdict.guards)
    assert "harmed" not in verdict.reason


def test_they_are_enrolled_anew_once_they_had_time_to_come_back_and_the_reboots_of_the_return_are_none() -> None:
    world, names = dark_world()
    before = arms(world)
    world.restart()
    come_back(world, names, DeviceChange.REBOOTED)
    come_back(world, names)
    assert {row.wave for row in evidence(world, EvidenceKind.ENROLLED)} == {""}
    world.pass_time(OUTAGE_S)
    again = [row for row in evidence(world, EvidenceKind.ENROLLED) if row.wave]
    assert {row.device: row.arm for row in again} == before
    assert {(row.wave, row.at) for row in again} == {("+1", again[0].at)}
    assert evidence(world, EvidenceKind.CRASHED) == evidence(world, EvidenceKind.SILENT) == []
    canaries = [name for name, arm in before.items() if arm is Arm.CANARY]
    for n, name in enumerate(canaries):
        world.take(world.fleet.device("north", name, world.now + n, DeviceChange.REBOOTED))
    world.pass_time(1)
    assert world.verdict().guilty == "crash"


def test_canaries_that_do_not_survive_the_outage_count_as_silent_when_their_controls_are_back() -> None:
    world, _ = dark_world()
    controls = [name for name, arm in arms(world).items() if arm is Arm.CONTROL]
    come_back(world, controls)
    world.pass_time(OUTAGE_S)
    world.pass_time(1)
    silent = evidence(world, EvidenceKind.SILENT)
    assert {row.arm for row in silent} == {Arm.CANARY}
    assert {row.detail for row in silent} == {"not back after its site's outage"}
    assert (world.verdict().verdict, world.verdict().guilty) == (Outcome.FAIL, "silence")


def test_a_site_that_goes_dark_again_while_it_comes_back_is_waited_for() -> None:
    world, names = dark_world()
    come_back(world, names[:3])
    fall_silent(world, names[:3])
    world.pass_time(2 * OUTAGE_S)
    assert evidence(world, EvidenceKind.SILENT) == []
    come_back(world, names)
    world.pass_time(OUTAGE_S)
    assert {row.wave for row in evidence(world, EvidenceKind.ENROLLED)} == {"", "+1"}


def test_a_canary_cohort_that_falls_silent_as_a_whole_while_its_controls_go_on_fails() -> None:
    world = World()
    commands = world.start(plan())
    for command in commands:
        world.take(world.fleet.ack(command, AckStatus.ACCEPTED, world.now))
    world.pass_time(1)
    fall_silent(world, [command.device for command in commands])
    assert evidence(world, EvidenceKind.SILENT) == []
    world.pass_time(OUTAGE_S + plan().install_grace_s)
    assert evidence(world, EvidenceKind.CENSORED) == []
    assert (world.verdict().verdict, world.verdict().guilty) == (Outcome.FAIL, "silence")
    assert "12 first events among canaries, 0 among controls" in world.verdict().reason


def test_canaries_in_their_grace_are_part_of_their_sites_outage() -> None:
    world = World()
    for command in world.start(plan()):
        world.take(world.fleet.ack(command, AckStatus.ACCEPTED, world.now))
    world.pass_time(1)
    fall_silent(world, world.fleet.names["north"])
    world.pass_time(3 * OUTAGE_S)
    assert len(evidence(world, EvidenceKind.CENSORED)) == 24
    assert evidence(world, EvidenceKind.SILENT) == []


def test_a_single_silence_is_told_a_little_later_and_nobody_leaves() -> None:
    world = World()
    world.start(plan())
    at = world.now
    fall_silent(world, ["north-00"])
    assert evidence(world, EvidenceKind.SILENT) == []
    world.pass_time(OUTAGE_S)
    assert [(row.device, row.at) for row in evidence(world, EvidenceKind.SILENT)] == [
        ("north-00", at + OUTAGE_S * SECOND)
    ]
    assert evidence(world, EvidenceKind.CENSORED) == []


def test_no_stage_is_drawn_while_its_site_is_dark_and_its_soak_begins_anew() -> None:
    world = World()
    stages = [Stage(share=0.25, soak_s=60.0), Stage(share=0.5, soak_s=60.0)]
    world.start(plan(stages=stages))
    fall_silent(world, world.fleet.names["north"])
    world.pass_time(200)
    assert {row.wave for row in evidence(world, EvidenceKind.ENROLLED)} == {""}
    come_back(world, world.fleet.names["north"])
    world.pass_time(OUTAGE_S)
    world.pass_time(1)
    assert {row.wave for row in evidence(world, EvidenceKind.ENROLLED)} == {"", "+1"}
    world.pass_time(61)
    assert {row.wave for row in evidence(world, EvidenceKind.ENROLLED)} == {"", "+1", "2"}
