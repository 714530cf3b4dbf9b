"""The gate's stage, record by record: draw, evidence, verdict, restart; and what it must not believe."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from ingest.contract.events import (
    Arm,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Outcome,
    PlanState,
    Verdict,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import EVIDENCE, PLANS, VERDICTS, dead
from tests.gate_stage_world import CONFIG, SECOND, World, failed_world
from tests.gate_world import NEW, OLD, T0, Fleet, Reader, commands_in, plan_of, plan_record

Take = Callable[..., list[Outgoing]]


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


@pytest.mark.parametrize(("sites", "drawn"), [([], 12), (["north"], 12), (["south"], 0)])
def test_while_nobody_is_there_the_draw_of_a_site_waits(sites: list[str], drawn: int) -> None:
    fleet = Fleet(sites=("north",), per_site=12)
    world = World(fleet)
    world.take(*(fleet.device("north", name, world.now, state=DeviceState.SILENT) for name in fleet.names["north"]))
    plan = plan_of()
    world.take(plan_record(msgspec.structs.replace(plan, selection=type(plan.selection)(sites=sites))))
    world.pass_time(2)
    assert world.of(EVIDENCE, Evidence) == []
    world.restart()
    world.take(*fleet.everyone(world.now))
    world.pass_time(1)
    assert len(world.of(EVIDENCE, Evidence)) == drawn


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
