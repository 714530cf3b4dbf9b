"""Conducts rollbacks: begins them when a gate has failed, follows them, and says how far each has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.rollback.actuator import Target
from analytics.rollback.anomalies import ActiveAnomalies
from analytics.rollback.plan import install_decision, rollback_decision, rollback_order
from analytics.rollback.recovery import new_recovery
from analytics.rollback.tracker import new_tracker
from analytics.rollouts.eprocess.sample_ratio import is_suspicious
from analytics.rollouts.outgoing import status_record
from ingest.contract.events import Arm, Installs, Outcome, RollbackMode, Verb
from ingest.contract.names import ROLLBACK_DEVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analytics.rollback.actuator import Actuator, Decision
    from analytics.rollback.recovery import Recovery
    from analytics.rollback.tracker import Tracker, Wave
    from analytics.rollouts.evidence import History
    from analytics.rollouts.fleet import Fleet
    from analytics.rollouts.rollout import Rollout
    from ingest.contract.batch import RollupBatch
    from ingest.contract.events import RollbackStatus
    from ingest.contract.records import Outgoing
    from ingest.runtime.telemetry import Telemetry


APPROVERS = 2


class Conductor:
    """Turns a rollout's state into decisions, hands these to every actuator, and keeps the account of them."""

    def __init__(
        self,
        actuators: Sequence[Actuator],
        fleet: Fleet,
        telemetry: Telemetry,
        *,
        settle_ms: int,
        approval_ms: int,
        recovery_ms: int,
        wave: Wave,
        halted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._actuators, self._fleet, self._telemetry, self._settle_ms = actuators, fleet, telemetry, settle_ms
        self._approval_ms, self._recovery_ms, self._wave, self._acted = approval_ms, recovery_ms, wave, False
        self.halted = halted
        """Whether the kill switch is thrown: then nothing is begun, and no command repeated."""
        self.anomalies = ActiveAnomalies()
        self._goes_on = False

    def install(self, rollout: Rollout, canaries: Sequence[History], now: int) -> list[Outgoing]:
        """Give the release to these canaries, unless another system does."""
        if rollout.plan.installs is Installs.EXTERNAL:
            return []
        return self._act(install_decision(rollout.plan, canaries, now), now, rollout.trace) if canaries else []

    def begin(self, rollout: Rollout, now: int, trace: str) -> list[Outgoing]:
        """Roll back what has failed, once, when the plan says that this happens by itself."""
        if not should_roll_back(rollout, now, self._approval_ms) or self.halted():
            return []
        targets = [Target(history.site, history.device) for history in rollback_order(rollout.histories.values())]
        decision = rollback_decision(rollout.plan, targets, now, why(rollout))
        known = (self._fleet.get(f"{rollout.plan.tenant}/{t.site}", t.device) for t in targets)
        rollout.tracker = new_tracker(
            decision,
            (event for event in known if event),
            self._recovery(rollout, targets),
            settle_ms=self._settle_ms,
            now=now,
            commands=rollout.plan.commands_rollback(),
        )
        # Its owners are told of everybody now; the devices' turn comes when it is followed.
        return self._act(msgspec.structs.replace(decision, due=[]), now, trace)

    def _recovery(self, rollout: Rollout, targets: Sequence[Target]) -> Recovery:
        devices = [f"{target.site}/{target.device}" for target in targets]
        controls = [
            h.key() for h in rollout.histories.values() if h.arm is Arm.CONTROL and not h.command and not h.left
        ]
        return new_recovery(rollout.plan.guards, devices, controls, self._recovery_ms)

    def follow(self, rollout: Rollout, now: int, trace: str) -> list[Outgoing]:
        """What has changed since the last look: commands to repeat, and the status when it differs."""
        if rollout.tracker is None:
            return []
        rollout.tracker.tick(self.anomalies.of(rollout.plan.tenant), now)
        outgoing = [] if self._is_held(rollout) else self._go_on(rollout, rollout.tracker, now, trace)
        status = rollout.tracker.status(now)
        if rollout.status is not None and _without_time(status) == _without_time(rollout.status):
            return outgoing
        rollout.status, rollout.statuses = status, rollout.statuses + 1
        self._gauge(status)
        return [*outgoing, status_record(status, rollout.statuses, trace)]

    def _is_held(self, rollout: Rollout) -> bool:
        return self.halted() or rollout.said.forced == Verb.OVERRIDE

    def _go_on(self, rollout: Rollout, tracker: Tracker, now: int, trace: str) -> list[Outgoing]:
        # Whoever owns the rollout has been told of everybody: these decisions are for the devices alone.
        targets = {"its turn has come": tracker.next_wave(self._wave, now), "it returned": tracker.to_repeat()}
        self._goes_on |= tracker.left > 0
        decisions = [rollback_decision(rollout.plan, due, now, reason) for reason, due in targets.items() if due]
        return [record for decision in decisions for record in self._act(decision, now, trace)]

    def goes_on(self) -> bool:
        """Whether, since this was asked last, a wave was begun that goes on at the next look."""
        goes_on, self._goes_on = self._goes_on, False
        return goes_on

    def forget(self, rollout: str) -> None:
        """A rollout is over for good."""
        self._acted = True
        for actuator in self._actuators:
            actuator.forget(rollout)

    def snapshot(self) -> dict[str, bytes]:
        """The actuators' states by name, when they have acted since the last snapshot."""
        acted, self._acted = self._acted, False
        return {actuator.name: actuator.snapshot() for actuator in self._actuators} if acted else {}

    def restore(self, actuator: str, part: bytes) -> None:
        """Continue with an actuator's state."""
        for ours in self._actuators:
            if ours.name == actuator:
                ours.restore(part)

    def _act(self, decision: Decision, now: int, trace: str) -> list[Outgoing]:
        self._acted = True
        return [record for actuator in self._actuators for record in actuator.carry_out(decision, now, trace or None)]

    def _gauge(self, status: RollbackStatus) -> None:
        for name in ("commanded", "done", "recovered", "unreachable", "refused"):
            count = len(getattr(status, name))
            self._telemetry.gauge(ROLLBACK_DEVICES, count, rollout=status.rollout, status=name)


def should_roll_back(rollout: Rollout, now: int, approval_ms: int) -> bool:
    """Whether a rollback is due that has not begun."""
    commanded = any(history.command for history in rollout.histories.values())
    if not commanded or rollout.ended_at or rollout.tracker is not None:
        return False
    # What people have decided together needs no gate, and no gate goes against it.
    if rollout.said.forced:
        return rollout.said.forced == Verb.ABORT
    if rollout.gate.outcome is not Outcome.FAIL:
        return False
    # Arms that are not those of the draw say nothing about the release: people may act on it, nobody else.
    if is_suspicious(*rollout.gate.first_drawn(), rollout.plan.first_share()):
        return False
    return rollout.plan.mode is RollbackMode.AUTOMATIC or is_approved(rollout, now, approval_ms)


def why(rollout: Rollout) -> str:
    """Why a rollout goes back, for its owners."""
    said = "; ".join(rollout.said.people)
    return f"aborted: {said}" if rollout.said.forced == Verb.ABORT else f"gate failed: {rollout.gate.guilty}"


def is_approved(rollout: Rollout, now: int, approval_ms: int) -> bool:
    """Whether two people have approved what the gate said, after it said so and not too long ago."""
    written = rollout.written
    if rollout.plan.mode is not RollbackMode.APPROVE or written is None or written.verdict is not Outcome.FAIL:
        return False
    since = max(rollout.fail_told_at, now - approval_ms)
    return len({approval.by for approval in rollout.plan.approvals if approval.at >= since}) >= APPROVERS


def newest_windows(batch: RollupBatch) -> dict[str, int]:
    """The start (ms) of the newest window of each device in the batch."""
    newest = np.full(len(batch.devices), -1, dtype=np.int64)
    np.maximum.at(newest, batch.column("device"), batch.column("start"))
    return {row.device: int(start) for row, start in zip(batch.devices, newest, strict=True) if start >= 0}


def _without_time(status: RollbackStatus) -> RollbackStatus:
    return msgspec.structs.replace(status, at=0)
