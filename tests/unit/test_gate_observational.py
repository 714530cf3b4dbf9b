"""Arms that are not those of the draw: the verdict says `observational`, and nothing is rolled back by itself."""

from __future__ import annotations

import pytest

from analytics.rollback.conduct import should_roll_back
from analytics.rollouts.evidence import History
from analytics.rollouts.rollout import Rollout, Row, new_rollout
from analytics.rollouts.verdict import Said
from ingest.contract.events import Arm, Evidence, EvidenceKind, Outcome, RollbackMode, Verb
from tests.api_rollouts import plan

NOW = 1_000_000


def failed(share: float) -> Rollout:
    """Twenty canaries and twenty controls, drawn or not by a plan that wanted this share; a dozen canaries crashed."""
    rollout = new_rollout(plan("fw", mode=RollbackMode.AUTOMATIC, canary_share=share), accepted_at=0, trace="")
    for n in range(40):
        arm = Arm.CANARY if n % 2 else Arm.CONTROL
        history = History(site="s", device=f"d{n}", stratum="s", arm=arm, enrolled_at=1, command="c" * (n % 2))
        rollout.histories[history.key()] = history
    rollout.take([row(rollout, n, EvidenceKind.ENROLLED, 1) for n in range(40)])
    rollout.take([row(rollout, 2 * n + 1, EvidenceKind.CRASHED, 10 + n) for n in range(12)])
    assert rollout.gate.outcome is Outcome.FAIL
    return rollout


def row(rollout: Rollout, n: int, kind: EvidenceKind, at: int) -> Row:
    evidence = Evidence(
        rollout="fw",
        tenant="acme",
        device=f"d{n}",
        site="s",
        stratum="s",
        arm=rollout.histories[f"s/d{n}"].arm,
        kind=kind,
        at=at,
    )
    return Row(evidence, "")


@pytest.mark.parametrize(("share", "observational"), [(0.5, False), (0.05, True)])
def test_only_a_rollout_whose_arms_are_the_draws_is_rolled_back_by_itself(share: float, *, observational: bool) -> None:
    rollout = failed(share)
    told = rollout.judge({}, {})
    assert (told.verdict, told.observational) == (Outcome.FAIL, observational)
    assert ("observational: 20 canaries to 20 controls" in told.reason) is observational
    assert should_roll_back(rollout, NOW, 1000) is not observational


def test_people_may_take_it_back_all_the_same() -> None:
    rollout = failed(0.05)
    rollout.said = Said(Verb.ABORT, [])
    assert should_roll_back(rollout, NOW, 1000)
