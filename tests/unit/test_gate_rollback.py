"""What a fail sets going: commands to every canary, once, until all are back; and who must agree before it begins."""

from __future__ import annotations

import msgspec

from ingest.contract.events import (
    AckStatus,
    AnomalyStatus,
    Approval,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Outcome,
    RollbackMode,
    RollbackPhase,
    RollbackStatus,
)
from ingest.contract.topics import COMMANDS, EVIDENCE, ROLLBACKS, VERDICTS
from tests.gate_stage_world import CONFIG, World, failed_world
from tests.gate_world import NEW, OLD, anomaly, commands_in, plan_of, plan_record


def test_crashing_canaries_turn_the_gate_and_every_canary_is_told_to_go_back() -> None:
    world, installs, rollbacks = failed_world()
    verdict = world.verdict()
    assert verdict.verdict is Outcome.FAIL
    assert verdict.guilty == "crash"
    assert verdict.e_value >= 1 / verdict.alpha
    assert {c.device for c in rollbacks} == {c.device for c in installs}
    assert len(rollbacks) == len(installs)
    assert {(c.version, c.digest) for c in rollbacks} == {(OLD, "sha256:" + "b" * 64)}
    counters = {c.device: c.counter for c in installs}
    assert all(c.counter > counters[c.device] for c in rollbacks)
    assert world.status().phase is RollbackPhase.COMMANDED
    assert world.status().commanded == sorted(f"north/{c.device}" for c in installs)


def test_crashes_of_both_arms_turn_nothing() -> None:
    world = World()
    installs = world.start()
    world.install(installs)
    both = [row.device for row in world.of(EVIDENCE, Evidence) if row.kind is EvidenceKind.ENROLLED]
    world.take(*(world.fleet.device("north", d, world.now + 5 + n, DeviceChange.REBOOTED) for n, d in enumerate(both)))
    world.pass_time(1)
    assert world.verdict().verdict is Outcome.INCONCLUSIVE
    assert sum(guard.events_canary + guard.events_control for guard in world.verdict().guards) == 24


def test_in_observe_mode_a_failure_is_said_and_nobody_is_commanded() -> None:
    world = World()
    installs = world.start(plan_of(mode=RollbackMode.OBSERVE))
    world.install(installs)
    world.crash(installs)
    assert world.verdict().verdict is Outcome.FAIL
    assert len(commands_in(world.appended, world.key)) == len(installs)
    assert world.of(ROLLBACKS, RollbackStatus) == []
    world.take(plan_record(plan_of(mode=RollbackMode.AUTOMATIC)))
    assert world.status().phase is RollbackPhase.COMMANDED


def test_a_rollback_is_complete_when_firmware_and_telemetry_are_back_and_the_silent_are_listed() -> None:
    world, _, rollbacks = failed_world()
    gone, *back = rollbacks
    world.take(
        world.fleet.device("north", gone.device, world.now, DeviceChange.SILENT, state=DeviceState.SILENT, firmware=NEW)
    )
    sick = back[0].device
    world.take(anomaly("north", sick, world.now, AnomalyStatus.ENTERED))
    done_at = world.now + 500
    for command in back:
        world.take(
            world.fleet.device("north", command.device, done_at, DeviceChange.INSTALLED, firmware=OLD),
            world.fleet.ack(command, AckStatus.DONE, done_at, OLD),
        )
    assert world.status().done == sorted(f"north/{c.device}" for c in back)
    world.take(world.fleet.windows("north", [c.device for c in back], done_at - 500))
    assert world.status().recovered == []
    world.take(world.fleet.windows("north", [c.device for c in back], done_at + 500))
    assert world.status().recovered == sorted(f"north/{c.device}" for c in back if c.device != sick)
    world.take(anomaly("north", sick, world.now, AnomalyStatus.LEFT))
    assert world.status().phase is RollbackPhase.COMMANDED
    world.pass_time(CONFIG.rollback_settle_s)
    status = world.status()
    assert status.phase is RollbackPhase.COMPLETE
    assert status.unreachable == [f"north/{gone.device}"]
    assert len(status.recovered) + len(status.unreachable) == len(status.commanded)


def test_nothing_is_commanded_twice_after_a_restart() -> None:
    world, installs, rollbacks = failed_world()
    commanded = len(commands_in(world.appended, world.key))
    world.restart()
    world.pass_time(1)
    world.take(plan_record(plan_of()))
    world.take(*world.fleet.everyone(world.now))
    world.pass_time(1)
    assert len(commands_in(world.appended, world.key)) == commanded == len(installs) + len(rollbacks)


def test_the_trace_of_the_deciding_event_goes_on_in_verdict_and_command() -> None:
    world = World()
    installs = world.start()
    world.install(installs)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    before = len(world.appended)
    for n, command in enumerate(installs):
        world.take(
            world.fleet.device("north", command.device, world.now + n, DeviceChange.REBOOTED, firmware=NEW, trace=trace)
        )
    world.pass_time(1)
    decided = {o.topic: dict(o.headers)["traceparent"].decode() for o in world.appended[before:]}
    assert {decided[topic] for topic in (EVIDENCE, VERDICTS, COMMANDS, ROLLBACKS)} == {trace}


def approval(by: str, at: int) -> Approval:
    return Approval(by=by, at=at, reason="seen on site")


def test_in_mode_approve_two_people_begin_the_rollback_after_the_fail_and_in_time() -> None:
    world = World()
    plan = plan_of(mode=RollbackMode.APPROVE)
    installs = world.start(plan)
    world.install(installs)
    early = [approval("ann", world.now), approval("bob", world.now)]
    world.take(plan_record(msgspec.structs.replace(plan, approvals=early)))
    world.crash(installs)
    assert world.verdict().verdict is Outcome.FAIL
    world.pass_time(5)
    assert world.of(ROLLBACKS, RollbackStatus) == []
    for approvals, begun in (
        ([approval("ann", world.now)], False),
        ([approval("ann", world.now), approval("ann", world.now + 1)], False),
        ([approval("ann", world.now - 90_000_000), approval("bob", world.now)], False),
        ([approval("ann", world.now), approval("bob", world.now)], True),
    ):
        world.take(plan_record(msgspec.structs.replace(plan, approvals=approvals)))
        world.pass_time(1)
        assert bool(world.of(ROLLBACKS, RollbackStatus)) is begun


def test_while_the_kill_switch_is_thrown_nothing_begins_and_afterwards_it_does() -> None:
    world = World()
    world.halted = True
    assert world.start() == []
    world.halted = False
    installs = commands_in(world.pass_time(1), world.key)
    assert len(installs) == 12
    world.install(installs)
    world.halted = True
    world.crash(installs)
    assert world.verdict().verdict is Outcome.FAIL
    assert world.of(ROLLBACKS, RollbackStatus) == []
    world.halted = False
    assert len(commands_in(world.pass_time(1), world.key)) == 12
