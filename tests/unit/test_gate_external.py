"""A rollout whose installs another system does: the draw and the evidence are the same, the way back is its owner's."""

from __future__ import annotations

import msgspec
import pytest

from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollback.orders import ORDERS, OwnerOrders
from analytics.rollback.owners.owner import Order
from analytics.rollouts.assignment import assigned
from analytics.rollouts.policy import PlanRejection, review
from analytics.rollouts.stage import GateStage
from ingest.contract.events import (
    AckStatus,
    ActuatorRef,
    Arm,
    DeviceChange,
    DeviceState,
    Evidence,
    EvidenceKind,
    Guard,
    GuardKind,
    Installs,
    Outcome,
    RollbackPhase,
    RolloutPlan,
)
from ingest.contract.topics import COMMANDS, EVIDENCE
from ingest.runtime.telemetry import Telemetry
from tests.gate_stage_world import CONFIG, SECOND, World
from tests.gate_world import NEW, OLD, TENANT, commands_in, plan_of

OWNER = ActuatorRef(actuator="hawk", object={"rollout_id": "7"})


class OwnedWorld(World):
    """A gate that also orders owners to go back."""

    def new_stage(self) -> GateStage:
        actuators = [MqttCommands(self.key), OwnerOrders()]
        stage = GateStage(CONFIG, self.fleet.gateways, actuators, Telemetry("test"))
        stage.restore(self.parts)
        return stage


def plan(**changes: object) -> RolloutPlan:
    return plan_of(installs=Installs.EXTERNAL, actuators=[OWNER], **changes)


def evidence(world: World, kind: EvidenceKind) -> list[Evidence]:
    return [row for row in world.of(EVIDENCE, Evidence) if row.kind is kind]


def canaries_of(world: World) -> list[str]:
    return [one.device for one in assigned(world.of(EVIDENCE, Evidence)) if one.arm is Arm.CANARY]


def bring_release(world: World, names: list[str]) -> None:
    """What the other system does with the assignment."""
    for n, name in enumerate(names):
        world.take(world.fleet.device("north", name, world.now + n, DeviceChange.INSTALLED, firmware=NEW))
    world.pass_time(1)


def failed(**changes: object) -> tuple[OwnedWorld, list[str]]:
    world = OwnedWorld()
    world.start(plan(**changes))
    canaries = canaries_of(world)
    bring_release(world, canaries)
    for n, name in enumerate(canaries):
        world.take(world.fleet.device("north", name, world.now + n, DeviceChange.REBOOTED, firmware=NEW))
    world.pass_time(1)
    assert world.verdict().verdict is Outcome.FAIL
    return world, canaries


def test_the_draw_is_that_of_any_plan_and_nobody_is_commanded_to_install() -> None:
    world, commanded = World(), World()
    assert world.start(plan()) == []
    drawn = {c.device for c in commanded.start(plan_of())}
    assert set(canaries_of(world)) == drawn
    assert len(drawn) == 12
    bring_release(world, canaries_of(world))
    assert evidence(world, EvidenceKind.CRASHED) == []


def test_a_failed_release_is_the_owners_to_take_back_and_no_device_is_commanded() -> None:
    world, canaries = failed()
    world.restart()
    world.pass_time(60)
    orders = world.of(ORDERS, Order)
    assert [(order.actuator, order.object, order.version) for order in orders] == [("hawk", {"rollout_id": "7"}, OLD)]
    assert sorted(orders[0].devices) == [f"north/{name}" for name in canaries]
    assert [o for o in world.appended if o.topic == COMMANDS] == []
    for name in canaries:
        world.take(world.fleet.device("north", name, world.now, DeviceChange.INSTALLED, firmware=OLD))
    assert world.status().done == [f"north/{name}" for name in canaries]
    world.take(world.fleet.windows("north", canaries, world.now + SECOND))
    assert world.status().phase is RollbackPhase.COMPLETE
    assert [o for o in world.appended if o.topic == COMMANDS] == []


def test_a_device_that_its_owner_still_brings_the_release_to_is_not_done() -> None:
    world = OwnedWorld()
    world.start(plan())
    last, *others = canaries_of(world)
    bring_release(world, others)
    for n, name in enumerate(others):
        world.take(world.fleet.device("north", name, world.now + n, DeviceChange.REBOOTED, firmware=NEW))
    world.pass_time(1)
    assert world.status().done == [f"north/{last}"]
    world.take(world.fleet.device("north", last, world.now, DeviceChange.INSTALLED, firmware=NEW))
    assert world.status().done == []


def test_with_rollback_commands_the_devices_are_commanded_as_well() -> None:
    world, canaries = failed(rollback_commands=True)
    commands = commands_in(world.appended, world.key)
    assert sorted(command.device for command in commands) == canaries
    assert {command.version for command in commands} == {OLD}
    assert len(world.of(ORDERS, Order)) == 1
    for command in commands:
        world.take(world.fleet.ack(command, AckStatus.DONE, world.now, OLD))
    assert world.status().done == [f"north/{name}" for name in canaries]


def test_commanded_installs_may_go_back_by_their_owner_alone() -> None:
    world = OwnedWorld()
    installs = world.start(plan_of(rollback_commands=False, actuators=[OWNER]))
    world.install(installs)
    world.crash(installs)
    assert len(commands_in(world.appended, world.key)) == len(installs)
    assert len(world.of(ORDERS, Order)) == 1


def test_the_installs_own_silence_is_none_but_a_bricked_canary_counts_when_the_grace_has_passed() -> None:
    world = World()
    world.start(plan())
    slow, bricked, *_ = canaries_of(world)
    at = world.now
    for name in (slow, bricked):
        world.take(world.fleet.device("north", name, at, DeviceChange.SILENT, state=DeviceState.SILENT))
    world.take(world.fleet.device("north", slow, at + 5 * SECOND, DeviceChange.INSTALLED, firmware=NEW))
    world.pass_time(10)
    assert evidence(world, EvidenceKind.SILENT) == []
    world.pass_time(20)
    assert [(row.device, row.at) for row in evidence(world, EvidenceKind.SILENT)] == [(bricked, at + 20 * SECOND)]
    world.take(world.fleet.device("north", slow, world.now, DeviceChange.SILENT, state=DeviceState.SILENT))
    world.pass_time(1)
    assert {row.device for row in evidence(world, EvidenceKind.SILENT)} == {slow, bricked}


@pytest.mark.parametrize("installs", [Installs.COMMANDS, Installs.EXTERNAL])
def test_a_guard_of_updates_needs_answers_to_commands(installs: Installs) -> None:
    guards = [Guard(name="update", kind=GuardKind.UPDATE, margin=0.1), Guard(name="s", kind=GuardKind.SILENCE)]
    expected = PlanRejection.BAD_GUARDS if installs is Installs.EXTERNAL else None
    assert review(plan_of(installs=installs, guards=guards), None, {TENANT}) is expected
    assert msgspec.json.decode(msgspec.json.encode(plan()), type=RolloutPlan).installs is Installs.EXTERNAL
