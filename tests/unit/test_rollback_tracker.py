"""How a rollback is followed: who is done, who has recovered, who cannot be reached, and who is told again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.rollback.actuator import Decision, Purpose, Target, command_id
from analytics.rollback.anomalies import ActiveAnomalies
from analytics.rollback.plan import rollback_order
from analytics.rollback.recovery import new_recovery
from analytics.rollback.tracker import MOST_OF_A_LOOK, Tracker, Wave, new_tracker
from analytics.rollouts.evidence import History
from ingest.contract.events import (
    AckEvent,
    AckStatus,
    AnomalyStatus,
    Arm,
    DeviceChange,
    DeviceEvent,
    DeviceState,
    RollbackPhase,
)
from tests.gate_world import NEW, OLD, T0, anomaly_event

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTLE = 10_000
NAMES = ("a", "b")


def tracker(*silent: str, names: Sequence[str] = NAMES) -> Tracker:
    decision = Decision(
        rollout="fw",
        tenant="acme",
        purpose=Purpose.ROLLBACK,
        version=OLD,
        digest="sha256:aa",
        decided_at=T0,
        expiry_s=60.0,
        targets=[Target("s", name) for name in names],
    )
    known = [event(n, DeviceState.SILENT if n in silent else DeviceState.ONLINE) for n in names]
    return new_tracker(decision, known, new_recovery([], [], [], 0), settle_ms=SETTLE, now=T0)


def event(
    device: str,
    state: DeviceState = DeviceState.ONLINE,
    *,
    firmware: str = NEW,
    change: DeviceChange = DeviceChange.ATTRIBUTES,
    at: int = T0,
) -> DeviceEvent:
    return DeviceEvent(
        tenant="acme",
        site="s",
        gateway="gw",
        device=device,
        change=change,
        state=state,
        at=at,
        firmware=firmware,
    )


def ack(device: str, status: AckStatus, *, firmware: str = "", attempt: int = 1, reason: str = "") -> AckEvent:
    command = command_id("fw", Purpose.ROLLBACK, Target("s", device, attempt))
    return AckEvent(
        tenant="acme",
        site="s",
        gateway="gw",
        device=device,
        command=command,
        status=status,
        at=T0 + 100,
        firmware=firmware,
        reason=reason,
    )


def bring_back(rollback: Tracker, device: str) -> None:
    rollback.on_ack(ack(device, AckStatus.DONE, firmware=OLD))
    rollback.on_windows("s", {device: T0 + 200})


def test_a_device_is_done_when_it_says_so_and_reports_the_previous_release() -> None:
    rollback = tracker()
    rollback.on_ack(ack("a", AckStatus.DONE))
    assert rollback.status(T0).done == []
    rollback.on_device(event("a", firmware=OLD), T0)
    assert rollback.status(T0).done == ["s/a"]


def test_a_device_that_comes_back_with_the_previous_release_needs_no_answer() -> None:
    rollback = tracker()
    rollback.on_device(event("a", firmware=OLD, change=DeviceChange.INSTALLED), T0)
    assert rollback.status(T0).done == ["s/a"]


def test_running_the_previous_release_is_not_enough_before_the_command_was_answered() -> None:
    rollback = tracker()
    rollback.on_device(event("a", firmware=OLD), T0)
    assert rollback.status(T0).done == []


def test_an_answer_to_another_command_is_none() -> None:
    rollback = tracker()
    assert not rollback.on_ack(ack("a", AckStatus.DONE, firmware=OLD, attempt=7))
    assert not rollback.on_ack(ack("stranger", AckStatus.DONE, firmware=OLD))
    assert rollback.status(T0).done == []


def test_telemetry_from_before_the_return_is_no_recovery() -> None:
    rollback = tracker()
    rollback.on_ack(ack("a", AckStatus.DONE, firmware=OLD))
    rollback.on_windows("s", {"a": T0 + 99})
    rollback.tick((), T0)
    assert rollback.status(T0).recovered == []
    rollback.on_windows("s", {"a": T0 + 100})
    rollback.tick((), T0)
    assert rollback.status(T0).recovered == ["s/a"]


def test_a_device_with_an_active_anomaly_has_not_recovered() -> None:
    rollback, anomalies = tracker(), ActiveAnomalies()
    bring_back(rollback, "a")
    anomalies.take(anomaly_event("s", "a", T0, AnomalyStatus.ENTERED, "memory"))
    anomalies.take(anomaly_event("s", "a", T0, AnomalyStatus.CONTINUES, "cpu"))
    anomalies.take(anomaly_event("s", "a", T0, AnomalyStatus.LEFT, "memory"))
    rollback.tick(anomalies.of("acme"), T0)
    assert rollback.status(T0).recovered == []
    restored = ActiveAnomalies()
    restored.restore(anomalies.snapshot())
    assert restored.of("acme") == {"s/a"}
    assert not restored.of("other")
    anomalies.take(anomaly_event("s", "a", T0, AnomalyStatus.LEFT, "cpu"))
    rollback.tick(anomalies.of("acme"), T0)
    assert rollback.status(T0).recovered == ["s/a"]


def test_a_silent_device_is_unreachable_after_the_settle_time_and_completes_the_rollback() -> None:
    rollback = tracker("b")
    bring_back(rollback, "a")
    rollback.tick((), T0 + SETTLE - 1)
    assert rollback.phase is RollbackPhase.COMMANDED
    rollback.tick((), T0 + SETTLE)
    assert rollback.phase is RollbackPhase.COMPLETE
    assert rollback.status(T0 + SETTLE).unreachable == ["s/b"]


def test_a_device_that_returns_late_is_no_longer_listed_once_it_is_back() -> None:
    rollback = tracker("b")
    bring_back(rollback, "a")
    rollback.tick((), T0 + SETTLE)
    rollback.on_device(event("b"), T0 + SETTLE)
    assert rollback.status(T0 + SETTLE).unreachable == []
    bring_back(rollback, "b")
    rollback.tick((), T0 + SETTLE)
    status = rollback.status(T0 + SETTLE)
    assert (status.recovered, status.phase) == (["s/a", "s/b"], RollbackPhase.COMPLETE)


def test_an_expired_command_is_repeated_under_a_new_name_when_the_device_is_back() -> None:
    rollback = tracker("b")
    rollback.on_ack(ack("b", AckStatus.EXPIRED))
    assert rollback.to_repeat() == []
    assert rollback.status(T0).unreachable == ["s/b"]
    rollback.on_device(event("b"), T0)
    assert rollback.to_repeat() == [Target("s", "b", 2)]
    assert rollback.to_repeat() == []
    assert not rollback.on_ack(ack("b", AckStatus.DONE, firmware=OLD))
    assert rollback.on_ack(ack("b", AckStatus.DONE, firmware=OLD, attempt=2))
    assert rollback.status(T0).done == ["s/b"]


def test_a_refusal_is_told_with_its_reason_and_holds_nobody_up() -> None:
    rollback = tracker()
    bring_back(rollback, "a")
    rollback.on_ack(ack("b", AckStatus.REFUSED, reason="unknown_key"))
    rollback.tick((), T0)
    assert rollback.status(T0).refused == {"s/b": "unknown_key"}
    assert rollback.phase is RollbackPhase.COMPLETE


def test_the_worst_hit_go_back_first_and_whoever_was_never_commanded_not_at_all() -> None:
    def history(device: str, *, command: str = "c", crashed: bool = False, silent: bool = False) -> History:
        return History(
            site="s",
            device=device,
            stratum="s",
            arm=Arm.CANARY,
            enrolled_at=0,
            command=command,
            crashed=crashed,
            silent=silent,
        )

    histories = [
        history("well"),
        history("silent", silent=True),
        history("crashed", crashed=True),
        history("never", command=""),
    ]
    assert [h.device for h in rollback_order(histories)] == ["crashed", "silent", "well"]


def test_a_large_wave_is_commanded_part_by_part_and_the_next_one_comes_when_it_is_time() -> None:
    names = [f"d{n}" for n in range(5 * MOST_OF_A_LOOK)]
    following, wave = tracker(names=names), Wave(2 * MOST_OF_A_LOOK + 1, apart_ms=1000)
    looks = [len(following.next_wave(wave, T0 + n)) for n in range(5)]
    assert looks == [MOST_OF_A_LOOK, MOST_OF_A_LOOK, 1, 0, 0]
    assert following.next_wave(wave, T0 + 999) == []
    told = [target.device for n in range(3) for target in following.next_wave(wave, T0 + 1000 + n)]
    assert told == names[2 * MOST_OF_A_LOOK + 1 : 4 * MOST_OF_A_LOOK + 2]
    last = [target.device for n in range(9) for target in following.next_wave(wave, T0 + 2000 + n)]
    assert last == names[4 * MOST_OF_A_LOOK + 2 :]
