"""The gate's stage, record by record: draw, evidence, verdict, rollback, restart."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollouts.config import GateConfig
from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from analytics.rollouts.stage import GateStage
from ingest.contract.commands import Command
from ingest.contract.events import (
    AckStatus,
    AnomalyStatus,
    Approval,
    Arm,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Outcome,
    PlanState,
    RollbackMode,
    RollbackPhase,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import AUDIT, COMMANDS, EVIDENCE, PLANS, ROLLBACKS, VERDICTS, dead
from ingest.runtime.telemetry import Telemetry
from tests.gate_world import NEW, OLD, T0, Fleet, Reader, anomaly, commands_in, plan_of, plan_record

SECOND = 1000
Take = Callable[..., list[Outgoing]]
CONFIG = GateConfig(signing_key_file="", settle_s=0.5, verdict_s=0.0, rollback_settle_s=10.0, max_records=500)


class World:
    """A stage, its clock, and all that it has appended."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet, self.key, self.reader = fleet or Fleet(), Ed25519PrivateKey.generate(), Reader()
        self.now, self.appended, self.parts = T0, [], {}
        self.stage = self.new_stage()

    def new_stage(self) -> GateStage:
        actuators = [MqttCommands(self.key)]
        stage = GateStage(
            CONFIG, self.fleet.gateways, actuators, Telemetry("test"), halted=lambda: getattr(self, "halted", False)
        )
        stage.restore(self.parts)
        return stage

    def restart(self) -> None:
        self.stage = self.new_stage()

    def take(self, *outgoing: Outgoing) -> list[Outgoing]:
        result = self.stage.step(self.reader.records(list(outgoing), self.now), self.now)
        if result.outgoing or result.changed:
            self.parts |= self.stage.snapshot()
        self.appended += result.outgoing
        return [o for o in result.outgoing if o.topic != AUDIT]

    def pass_time(self, seconds: float) -> list[Outgoing]:
        """Every gateway beats, and the heartbeats settle."""
        self.now += round(seconds * SECOND)
        before = len(self.appended)
        self.take(*(self.fleet.beat(site, self.now) for site in self.fleet.names))
        self.now += SECOND
        self.take()
        return self.appended[before:]

    def start(self, plan: RolloutPlan | None = None) -> list[Command]:
        """Devices are known, the plan comes, arms are drawn; the install commands."""
        self.take(*self.fleet.everyone(self.now))
        self.take(plan_record(plan or plan_of()))
        return commands_in(self.pass_time(1), self.key)

    def install(self, commands: list[Command]) -> None:
        for command in commands:
            self.take(self.fleet.ack(command, AckStatus.ACCEPTED, self.now))
            self.take(
                self.fleet.device(command.site, command.device, self.now + 1, DeviceChange.INSTALLED, firmware=NEW)
            )
        self.pass_time(1)

    def crash(self, commands: list[Command]) -> None:
        for n, command in enumerate(commands):
            at = self.now + n
            self.take(self.fleet.device(command.site, command.device, at, DeviceChange.REBOOTED, firmware=NEW))
        self.pass_time(1)

    def of(self, topic: str, kind: type) -> list:
        return [msgspec.json.decode(o.value, type=kind) for o in self.appended if o.topic == topic]

    def verdict(self) -> Verdict:
        return self.of(VERDICTS, Verdict)[-1]

    def status(self) -> RollbackStatus:
        return self.of(ROLLBACKS, RollbackStatus)[-1]


def failed_world() -> tuple[World, list[Command], list[Command]]:
    """A world whose release has failed; its install and its rollback commands."""
    world = World()
    installs = world.start()
    world.install(installs)
    before = len(world.appended)
    world.crash(installs)
    return world, installs, commands_in(world.appended[before:], world.key)


def test_a_plan_is_answered_at_once_and_drawn_when_the_site_has_spoken() -> None:
    world = World()
    world.take(*world.fleet.everyone(world.now))
    world.take(plan_record(plan_of()))
    assert world.verdict().verdict is Outcome.INCONCLUSIVE
    assert world.verdict().reason == "no devices enrolled yet"
    commands = commands_in(world.pass_time(1), world.key)
    rows = world.of(EVIDENCE, Evidence)
    canaries = {row.device for row in rows if row.arm is Arm.CANARY}
    assert {row.kind for row in rows} == {EvidenceKind.ENROLLED}
    assert len(rows) == 24
    assert len(canaries) == 12
    assert {command.device for command in commands} == canaries
    assert {(c.version, c.kind) for c in commands} == {(NEW, "install")}
    assert (world.verdict().n_canary, world.verdict().n_control) == (12, 12)


def test_a_heartbeat_from_before_the_plan_draws_nothing() -> None:
    world = World()
    world.take(*world.fleet.everyone(world.now))
    world.take(world.fleet.beat("north", world.now))
    world.now += SECOND
    world.take(plan_record(plan_of()))
    world.now += SECOND
    world.take()
    assert world.of(EVIDENCE, Evidence) == []


def test_only_selected_devices_that_run_the_previous_release_are_drawn() -> None:
    fleet = Fleet(per_site=0)
    world = World(fleet)
    world.take(
        fleet.device("north", "fits", T0),
        fleet.device("north", "other-hardware", T0, hardware="rev-z"),
        fleet.device("north", "other-firmware", T0, firmware="1.0.0"),
        fleet.device("north", "silent", T0, state=DeviceState.SILENT),
    )
    plan = plan_of()
    world.take(plan_record(msgspec.structs.replace(plan, selection=type(plan.selection)(hardware=["rev-a"]))))
    world.pass_time(1)
    assert {row.device for row in world.of(EVIDENCE, Evidence)} == {"fits"}


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


def test_a_restart_between_any_two_steps_leads_to_the_same_records() -> None:
    key = Ed25519PrivateKey.generate()
    fleet = Fleet()
    worlds = [World(fleet), World(fleet)]
    for index, world in enumerate(worlds):
        world.key = key
        world.restart()
        take = world.take

        def taking(*outgoing: Outgoing, world: World = world, take: Take = take, index: int = index) -> list[Outgoing]:
            result = take(*outgoing)
            if index:
                world.parts |= world.stage.snapshot()
                world.restart()
            return result

        world.take = taking
        installs = world.start()
        world.install(installs)
        world.crash(installs)
    assert worlds[0].appended == worlds[1].appended


def test_every_verdict_can_be_reproduced_from_the_recorded_evidence() -> None:
    world, _, _ = failed_world()
    appended = [*world.appended, *world.appended[:30]]
    records = Reader().records([o for o in appended if o.topic == EVIDENCE], T0)
    evidence = recorded_evidence("fw-2.3", records)
    verdicts = world.of(VERDICTS, Verdict)
    assert len(verdicts) >= 3
    for verdict in verdicts:
        again = reproduce(plan_of(), evidence, verdict)
        assert differences(verdict, again) == {}
        assert msgspec.json.encode(again) == msgspec.json.encode(verdict)


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


def test_an_ended_plan_censors_everybody_and_decides_nothing_any_more() -> None:
    world = World()
    installs = world.start()
    world.install(installs)
    world.take(plan_record(plan_of(state=PlanState.ENDED)))
    world.crash(installs)
    kinds = [row.kind for row in world.of(EVIDENCE, Evidence)]
    assert kinds.count(EvidenceKind.CENSORED) == 24
    assert EvidenceKind.CRASHED not in kinds
    assert world.verdict().verdict is Outcome.INCONCLUSIVE


def test_a_paused_plan_enrols_nobody_until_it_runs_again() -> None:
    world = World()
    assert world.start(plan_of(state=PlanState.PAUSED)) == []
    world.take(plan_record(plan_of()))
    assert len(commands_in(world.pass_time(1), world.key)) == 12


def test_an_evidence_row_behind_the_watermark_is_listed_only() -> None:
    world = World()
    installs = world.start()
    world.install(installs)
    late = world.fleet.device("north", installs[0].device, world.now - 3 * SECOND + 500, DeviceChange.REBOOTED)
    world.take(late)
    rows = world.of(EVIDENCE, Evidence)
    assert [row.kind for row in rows if row.kind is not EvidenceKind.ENROLLED] == [EvidenceKind.LATE]
    assert world.verdict().log10_e <= 0
    assert "1 late facts are listed, not counted" in world.verdict().reason


def test_while_more_is_waiting_to_be_read_time_stands_still() -> None:
    world = World()
    world.take(*world.fleet.everyone(world.now))
    world.take(plan_record(plan_of()))
    world.take(world.fleet.beat("north", world.now + 1))
    world.now += 5 * SECOND
    full = [world.fleet.beat("north", T0)] * CONFIG.max_records
    world.take(*full)
    assert world.of(EVIDENCE, Evidence) == []
    world.take()
    assert len(world.of(EVIDENCE, Evidence)) == 24


def test_what_no_known_gateway_signed_is_passed_over_and_counted() -> None:
    world, stranger = World(), Fleet()
    installs = world.start()
    world.install(installs)
    before = world.verdict()
    world.take(*(stranger.device("north", c.device, world.now + 1, DeviceChange.REBOOTED) for c in installs))
    unsigned = msgspec.structs.replace(world.fleet.device("north", installs[0].device, world.now + 1), headers=())
    garbage = msgspec.structs.replace(unsigned, value=b"\xff{")
    world.take(unsigned, garbage)
    world.pass_time(1)
    assert world.verdict().guards == before.guards


def test_a_device_may_be_called_like_a_gateway() -> None:
    fleet = Fleet(per_site=0)
    world = World(fleet)
    world.take(fleet.device("north", "gateway:gw-north", T0), fleet.device("north", "other", T0))
    world.start()
    assert {row.device for row in world.of(EVIDENCE, Evidence)} == {"gateway:gw-north", "other"}


@pytest.mark.parametrize("at", [-1, 0, T0 + 10**10, 10**18, 1 << 63, 10**30])
def test_a_time_that_cannot_be_right_stops_nothing_and_moves_no_watermark(at: int) -> None:
    world = World()
    world.take(world.fleet.beat("north", at), world.fleet.device("north", "north-00", at))
    assert len(world.start()) == 12
    world.take(Outgoing(PLANS, b"x", msgspec.json.encode(plan_of(rollout="x", seed=10**30))))
    world.parts |= world.stage.snapshot()
    world.restart()
    assert world.pass_time(1) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not a plan", "malformed"),
        (msgspec.json.encode(plan_of(tenant="nobody")), "unknown_tenant"),
        (msgspec.json.encode(plan_of(alpha=0.0)), "bad_alpha"),
        (msgspec.json.encode(plan_of(guards=[])), "bad_guards"),
        (msgspec.json.encode(plan_of(release=OLD)), "bad_release"),
        (msgspec.json.encode(plan_of(canary_share=1.5)), "bad_share"),
    ],
)
def test_a_plan_that_cannot_be_taken_becomes_a_dead_letter_with_the_reason(value: bytes, reason: str) -> None:
    world = World()
    letters = world.take(Outgoing(PLANS, b"fw-2.3", value))
    assert [(o.topic, dict(o.headers)["tidegate_reason"].decode()) for o in letters] == [(dead(PLANS), reason)]
    assert letters[0].value == value


def test_a_running_rollouts_promises_cannot_be_changed() -> None:
    world = World()
    world.start()
    letters = world.take(plan_record(plan_of(alpha=0.5)))
    assert dict(letters[0].headers)["tidegate_reason"] == b"changed_while_running"
    assert world.verdict().alpha == 0.05


def test_a_site_that_is_heard_of_later_is_drawn_later() -> None:
    fleet = Fleet(("north", "south"))
    world = World(fleet)
    world.take(*fleet.everyone(T0))
    world.take(plan_record(plan_of()))
    world.take(fleet.beat("north", world.now + 1))
    world.now += SECOND
    world.take()
    assert {row.site for row in world.of(EVIDENCE, Evidence)} == {"north"}
    world.pass_time(1)
    assert {row.site for row in world.of(EVIDENCE, Evidence)} == {"north", "south"}


def test_an_ended_rollout_is_forgotten_in_the_end() -> None:
    world = World()
    world.start()
    world.take(plan_record(plan_of(state=PlanState.ENDED)))
    world.now += round(CONFIG.forget_s * SECOND) + SECOND
    world.take()
    world.parts |= world.stage.snapshot()
    assert world.parts["rollout/fw-2.3"] == b""
    world.restart()
    world.pass_time(1)


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
