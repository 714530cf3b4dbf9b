"""A gate's stage under a simulated fleet, driven record by record."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollouts.config import GateConfig
from analytics.rollouts.stage import GateStage
from ingest.contract.commands import Command
from ingest.contract.events import (
    AckStatus,
    DeviceChange,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import AUDIT, ROLLBACKS, VERDICTS
from ingest.runtime.telemetry import Telemetry
from ingest.runtime.worker import StepResult
from tests.gate_world import NEW, T0, Fleet, Reader, commands_in, plan_of, plan_record

SECOND = 1000


CONFIG = GateConfig(
    signing_key_file="", settle_s=0.5, verdict_s=0.0, rollback_settle_s=10.0, recovery_s=0.0, max_records=500
)


class World:
    """A stage, its clock, and all that it has appended."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet, self.key, self.reader = fleet or Fleet(), Ed25519PrivateKey.generate(), Reader()
        self.now, self.appended, self.parts, self.config = T0, [], {}, CONFIG
        self.stage = self.new_stage()

    def new_stage(self) -> GateStage:
        actuators = [MqttCommands(self.key)]
        stage = GateStage(
            self.config,
            self.fleet.gateways,
            actuators,
            Telemetry("test"),
            halted=lambda: getattr(self, "halted", False),
            seal=getattr(self, "seal", list),
        )
        stage.restore(self.parts)
        return stage

    def restart(self) -> None:
        self.stage = self.new_stage()

    def take(self, *outgoing: Outgoing) -> list[Outgoing]:
        return [o for o in self._step(outgoing).outgoing if o.topic != AUDIT]

    def step_alone(self) -> StepResult:
        """A look at which nothing has come."""
        return self._step(())

    def _step(self, outgoing: Sequence[Outgoing]) -> StepResult:
        result = self.stage.step(self.reader.records(list(outgoing), self.now), self.now)
        if result.outgoing or result.changed:
            self.parts |= self.stage.snapshot()
        self.appended += result.outgoing
        return result

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
