"""The sample-ratio check: a fair bet under the plan's share, and suspicious of what is not it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rollouts.eprocess.sample_ratio import is_suspicious, log10_e
from analytics.rollouts.recording import JudgePlan, RecordedRow, judge
from ingest.contract.events import Arm, EvidenceKind, Guard, GuardKind


@given(st.integers(1, 40), st.floats(0.05, 0.95))
def test_under_the_plans_share_the_mean_e_value_is_one(devices: int, share: float) -> None:
    mean = sum(
        math.comb(devices, k) * share**k * (1 - share) ** (devices - k) * 10 ** log10_e(k, devices - k, share)
        for k in range(devices + 1)
    )
    assert mean == pytest.approx(1.0, rel=1e-6)


def test_what_is_not_the_plans_share_is_suspicious_and_what_is_is_not() -> None:
    assert not is_suspicious(0, 0, 0.5)
    assert not is_suspicious(500, 500, 0.5)
    assert not is_suspicious(530, 470, 0.5)
    assert is_suspicious(600, 400, 0.5)
    assert is_suspicious(500, 500, 0.1)
    assert not is_suspicious(100, 900, 0.1)
    assert not is_suspicious(50, 0, 1.0)


def test_the_judge_says_observational_where_the_plan_names_another_share() -> None:
    rows = [
        RecordedRow(
            kind=EvidenceKind.ENROLLED, device=f"d{n}", at=1, stratum="s", arm=Arm.CANARY if n < 90 else Arm.CONTROL
        )
        for n in range(100)
    ]
    guards = [Guard(name="silence", kind=GuardKind.SILENCE)]
    assert judge(JudgePlan(guards=guards, canary_share=0.5), rows).observational
    assert not judge(JudgePlan(guards=guards, canary_share=0.9), rows).observational
    assert not judge(JudgePlan(guards=guards), rows).observational
