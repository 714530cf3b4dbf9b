"""The gate's answer to those who ask whether a rollout may go on: never null, whatever is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ingest.contract.events import Outcome, PlanState

if TYPE_CHECKING:
    from dashboards.api.rollouts import Rollout
    from ingest.contract.events import RolloutPlan, Verdict

LARGEST = 1e300
UNDECIDED_SCORE = 50.0


class GateData(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict and the numbers behind it.

    `score` is 0 to 100; `e_value` is capped at 1e300, `log10_e` is the exact one; `at` is the watermark in ms.
    """

    rollout: str
    verdict: Outcome
    score: float
    e_value: float
    log10_e: float
    alpha: float
    n_canary: int
    n_control: int
    reason: str
    evidence_url: str
    at: int


def gate_data(rollout: Rollout, base_url: str) -> GateData:
    """The answer for a known rollout; `base_url` is where people find the console."""
    link = f"{base_url}/#rollout={quote(rollout.name)}"
    if rollout.verdict is not None:
        return _judged(rollout.verdict, link)
    return _waiting(rollout.name, rollout.plan, link)


def _judged(verdict: Verdict, link: str) -> GateData:
    return GateData(
        rollout=verdict.rollout,
        verdict=verdict.verdict,
        score=_finite(verdict.score),
        e_value=_finite(verdict.e_value),
        log10_e=_finite(verdict.log10_e),
        alpha=_finite(verdict.alpha),
        n_canary=verdict.n_canary,
        n_control=verdict.n_control,
        reason=verdict.reason,
        evidence_url=link,
        at=verdict.at,
    )


def _waiting(name: str, plan: RolloutPlan | None, link: str) -> GateData:
    ended = plan is not None and plan.state is PlanState.ENDED
    return GateData(
        rollout=name,
        verdict=Outcome.INCONCLUSIVE,
        score=UNDECIDED_SCORE,
        e_value=1.0,
        log10_e=0.0,
        alpha=plan.alpha if plan else 0.05,
        n_canary=0,
        n_control=0,
        reason="the rollout ended before there was a verdict" if ended else "no verdict yet: waiting for evidence",
        evidence_url=link,
        at=plan.created if plan else 0,
    )


def _finite(number: float) -> float:
    # JSON has no infinity and no NaN; a condition that reads null would be an error at the asking side.
    return 0.0 if math.isnan(number) else max(-LARGEST, min(LARGEST, number))
