"""What a verdict says to people and machines."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.policy import PlanRejection, policy_hash, review
from analytics.rollouts.verdict import verdict
from ingest.contract.events import (
    Arm,
    Evidence,
    EvidenceKind,
    Guard,
    GuardKind,
    Outcome,
    PlanState,
    RolloutPlan,
    Verdict,
)
from tests.gate_world import plan_of

CRASH, SILENCE = Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)


def row(n: int, kind: EvidenceKind, arm: Arm, at: int) -> Evidence:
    return Evidence(rollout="r", tenant="t", device=f"d{n}", site="s", stratum="s", arm=arm, kind=kind, at=at)


def arm_of(n: int) -> Arm:
    return Arm.CANARY if n % 2 else Arm.CONTROL


def gate_of(
    devices: int, crashed: list[int], guards: tuple[Guard, ...] = (CRASH, SILENCE), kind: EvidenceKind | None = None
) -> Gate:
    gate = new_gate(guards, 0.05)
    gate.apply([row(n, EvidenceKind.ENROLLED, arm_of(n), 0) for n in range(devices)])
    gate.apply([row(n, kind or EvidenceKind.CRASHED, arm_of(n), 10 + i) for i, n in enumerate(crashed)])
    return gate


def said(gate: Gate, plan: RolloutPlan | None = None) -> Verdict:
    return verdict(gate, plan or plan_of(), policy="p", at=99, offsets={"b": 2, "a": 1})


def test_before_anything_happened_it_is_inconclusive_in_the_middle() -> None:
    answer = said(gate_of(0, []))
    assert (answer.verdict, answer.score, answer.reason) == (Outcome.INCONCLUSIVE, 50.0, "no devices enrolled yet")
    assert answer.offsets == {"a": 1, "b": 2, "evidence": 0}


def test_quiet_devices_do_not_pass_only_events_do_and_the_reason_says_how_many() -> None:
    answer = said(gate_of(100, []))
    assert answer.verdict is Outcome.INCONCLUSIVE
    assert "crash: 0 first events among canaries, 0 among controls" in answer.reason
    assert "if harmless, a pass needs about 147 more first events for crash" in answer.reason


def test_a_failure_names_the_guard_and_its_numbers() -> None:
    answer = said(gate_of(60, list(range(1, 31, 2))))
    assert (answer.verdict, answer.score, answer.guilty) == (Outcome.FAIL, 0.0, "crash")
    assert answer.reason.startswith("crash: 8 first events among canaries, 0 among controls; e-value 32.8")
    assert answer.reason.endswith(" has reached 1/alpha = 20")
    assert answer.e_value == pytest.approx(10**answer.log10_e)
    assert answer.since == 10 + 7


def test_without_both_arms_in_any_stratum_there_is_no_concurrent_control() -> None:
    gate = new_gate((CRASH, SILENCE), 0.05)
    gate.apply([row(n, EvidenceKind.ENROLLED, Arm.CANARY, 0) for n in range(9)])
    gate.apply([row(n, EvidenceKind.CRASHED, Arm.CANARY, 1 + n) for n in range(9)])
    answer = said(gate)
    assert answer.verdict is Outcome.INCONCLUSIVE
    assert answer.reason.startswith("no concurrent control")


def test_a_gate_that_does_not_watch_silence_never_passes() -> None:
    crashes = list(range(1000))
    watching, blind = gate_of(2000, crashes), gate_of(2000, crashes, (CRASH,))
    watching.apply([row(n, EvidenceKind.SILENT, arm_of(n), 5000 + n) for n in crashes])
    assert said(watching).verdict is Outcome.PASS
    assert said(watching).score == 100.0
    assert said(watching).reason.startswith("every guard is shown to be within its margin")
    assert said(blind).verdict is Outcome.INCONCLUSIVE
    assert said(blind).reason.startswith("no pass without a guard of kind silence")
    assert said(blind).score <= 94.0


def test_a_guard_without_data_blocks_the_pass() -> None:
    assert said(gate_of(2000, list(range(1000)))).verdict is Outcome.INCONCLUSIVE


def test_an_e_value_beyond_what_a_number_holds_is_capped_and_its_logarithm_is_not() -> None:
    gate = gate_of(10, [])
    gate.bets[0].harm = [1000.0] * 5
    answer = said(gate)
    assert answer.e_value == 1e300
    assert answer.log10_e == pytest.approx(433.99, abs=0.01)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Verdict) == answer


def test_the_policy_hash_changes_with_what_decides_and_not_with_whether_it_runs() -> None:
    plan = plan_of()
    assert policy_hash(plan) == policy_hash(plan_of(state=PlanState.PAUSED, created=1, created_by="sam"))
    assert policy_hash(plan) != policy_hash(plan_of(alpha=0.01))
    assert policy_hash(plan) != policy_hash(plan_of(guards=[msgspec.structs.replace(CRASH, margin=2.0), SILENCE]))
    assert policy_hash(plan).startswith("sha256:")


def test_what_has_its_default_is_no_part_of_the_policy_hash() -> None:
    plan = plan_of(guards=[CRASH, msgspec.structs.replace(SILENCE, margin=3.0)])
    said = {
        "rollout": "fw-2.3",
        "tenant": "acme",
        "release": "2.3.0",
        "previous_release": "2.2.0",
        "release_digest": plan.release_digest,
        "previous_digest": plan.previous_digest,
        "created": 0,
        "guards": [{"name": "crash", "kind": "crash"}, {"name": "silence", "kind": "silence", "margin": 3.0}],
        "mode": "automatic",
        "install_grace_s": 20.0,
        "outage_s": 0.0,
        "command_expiry_s": 600.0,
    }
    canonical = msgspec.json.encode(said, order="deterministic")
    assert policy_hash(plan) == f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def test_a_quantile_that_means_nothing_is_refused() -> None:
    for guard in (
        Guard(name="a", kind=GuardKind.SOAK, quantile=0.0),
        Guard(name="a", kind=GuardKind.SOAK, quantile=float("nan")),
        Guard(name="a", kind=GuardKind.COUNT, margin=0.1, quantile=0.5),
    ):
        assert review(plan_of(guards=[guard, SILENCE]), None, {"acme"}) is PlanRejection.BAD_GUARDS
    sound = Guard(name="a", kind=GuardKind.SOAK, quantile=0.999)
    assert review(plan_of(guards=[sound, SILENCE]), None, {"acme"}) is None
    assert sound.statistic() == "a:p99.9"


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({}, None),
        ({"rollout": "a/b"}, PlanRejection.BAD_NAME),
        ({"alpha": float("nan")}, PlanRejection.BAD_ALPHA),
        ({"canary_share": -0.1}, PlanRejection.BAD_SHARE),
        ({"guards": [CRASH, CRASH]}, PlanRejection.BAD_GUARDS),
        ({"guards": [msgspec.structs.replace(CRASH, margin=1.0)]}, PlanRejection.BAD_GUARDS),
        ({"guards": [msgspec.structs.replace(CRASH, weight=0.0)]}, PlanRejection.BAD_GUARDS),
        ({"release_digest": "md5:aa"}, PlanRejection.BAD_RELEASE),
        ({"install_grace_s": -1.0}, PlanRejection.BAD_DURATION),
        ({"outage_s": -1.0}, PlanRejection.BAD_DURATION),
        ({"tenant": "other"}, PlanRejection.UNKNOWN_TENANT),
    ],
)
def test_plans_are_reviewed(changes: dict[str, object], rejection: PlanRejection | None) -> None:
    assert review(plan_of(**changes), None, {"acme"}) is rejection


def test_a_running_plan_may_be_paused_but_not_loosened_nor_taken_over() -> None:
    known = plan_of()
    assert review(plan_of(state=PlanState.PAUSED), known, {"acme"}) is None
    assert review(plan_of(alpha=0.1), known, {"acme"}) is PlanRejection.CHANGED_WHILE_RUNNING
    assert review(plan_of(tenant="rival"), known, {"acme", "rival"}) is PlanRejection.FOREIGN_TENANT
