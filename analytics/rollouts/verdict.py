"""The gate's answer as a record: numbers, a score and a sentence that says why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analytics.rollouts.bets import play
from analytics.rollouts.gate import threshold
from ingest.contract.events import GuardKind, GuardVerdict, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.rollouts.bets import Bets
    from analytics.rollouts.gate import Gate
    from ingest.contract.events import RolloutPlan

CAP = 300.0
"""log10 of the greatest e-value that is written as a number."""


def verdict(gate: Gate, plan: RolloutPlan, *, policy: str, at: int, offsets: Mapping[str, int]) -> Verdict:
    """What the gate answers at watermark `at` (ms), with `evidence` (rows taken) added to the offsets."""
    log10_e = gate.e_value_log10()
    canaries, controls = gate.risk.enrolled
    return Verdict(
        rollout=plan.rollout,
        tenant=plan.tenant,
        verdict=gate.outcome,
        score=score(gate),
        e_value=significant(10.0 ** min(log10_e, CAP)),
        log10_e=log10_e,
        alpha=plan.alpha,
        n_canary=canaries,
        n_control=controls,
        reason=reason(gate),
        at=at,
        since=gate.since,
        guards=[guard_verdict(bets) for bets in gate.bets],
        policy_hash=policy,
        offsets=dict(sorted({**offsets, "evidence": gate.rows}.items())),
        guilty=gate.guilty,
    )


def guard_verdict(bets: Bets) -> GuardVerdict:
    """One guard's numbers; its harm e-value is not yet weighted."""
    path = play(bets, ())
    canary, control = bets.events
    return GuardVerdict(
        name=bets.guard.name,
        kind=bets.guard.kind,
        log10_e_harm=float(path.log10_harm[-1]),
        log10_e_safe=float(path.log10_safe[-1]),
        events_canary=canary,
        events_control=control,
    )


def score(gate: Gate) -> float:
    """0 for fail, 100 for pass, else 50 (1 + s - h) kept within 1 to 94.

    h and s say how far, on the scale of logarithms, the e-value against harmlessness and the smallest non-inferiority
    e-value have come from 1 towards 1/alpha. Without evidence the score is 50.
    """
    if gate.outcome is not Outcome.INCONCLUSIVE:
        return 100.0 if gate.outcome is Outcome.PASS else 0.0
    limit = threshold(gate.alpha)
    safe = min(guard_verdict(bets).log10_e_safe for bets in gate.bets)
    harm, safe = (min(1.0, max(0.0, value / limit)) for value in (gate.e_value_log10(), safe))
    return round(min(94.0, max(1.0, 50.0 * (1.0 + safe - harm))), 1)


def reason(gate: Gate) -> str:
    """One sentence for people, made of nothing but the gate's numbers."""
    sentence = {Outcome.FAIL: _failed, Outcome.PASS: _passed, Outcome.INCONCLUSIVE: _undecided}[gate.outcome](gate)
    return sentence + (f"; {gate.late} late facts are listed, not counted" if gate.late else "")


def significant(value: float, digits: int = 9) -> float:
    """Rounded to significant digits, so that two machines write the same."""
    return float(f"{value:.{digits}g}")


def _failed(gate: Gate) -> str:
    bets = next(bets for bets in gate.bets if bets.guard.name == gate.guilty)
    e_value = _number(gate.e_value_log10())
    return f"{gate.guilty}: {_counts(bets)}; e-value {e_value} has reached 1/alpha = {_number(threshold(gate.alpha))}"


def _passed(gate: Gate) -> str:
    margins = ", ".join(f"{bets.guard.name} below {bets.guard.margin:g}" for bets in gate.bets)
    return f"every guard's hazard ratio is shown to be within its margin ({margins})"


def _undecided(gate: Gate) -> str:
    if sum(gate.risk.enrolled) == 0:
        return "no devices enrolled yet"
    if not any(bets.guard.kind is GuardKind.SILENCE for bets in gate.bets):
        return f"no pass without a guard of kind silence: bricked devices are seen by no other; {_seen(gate)}"
    if not gate.risk.comparable():
        return f"no concurrent control: no stratum has both arms at risk; {_seen(gate)}"
    return f"{_seen(gate)}; if harmless, a pass needs about {_needed(gate)}"


def _seen(gate: Gate) -> str:
    return ", ".join(f"{bets.guard.name}: {_counts(bets)}" for bets in gate.bets)


def _counts(bets: Bets) -> str:
    canary, control = bets.events
    return f"{canary} first events among canaries, {control} among controls"


def _needed(gate: Gate) -> str:
    return ", ".join(f"{_events_to_pass(gate, bets)} more first events for {bets.guard.name}" for bets in gate.bets)


def _events_to_pass(gate: Gate, bets: Bets) -> int:
    """Events until the non-inferiority e-value is expected at 1/alpha, were the ratio 1 and the arms as large as enrolled.

    Per event its logarithm grows by the Kullback-Leibler divergence of the arms' shares under 1 from those under the margin.
    """
    canaries, controls = gate.risk.enrolled
    share = canaries / (canaries + controls)
    odds = bets.guard.margin * share
    tolerable = odds / (odds + 1.0 - share)
    if not 0.0 < share < 1.0:
        return 0
    growth = share * np.log10(share / tolerable) + (1.0 - share) * np.log10((1.0 - share) / (1.0 - tolerable))
    missing = threshold(gate.alpha) - guard_verdict(bets).log10_e_safe
    return max(0, math.ceil(significant(missing / float(growth))))


def _number(log10: float) -> str:
    return f"{10.0**log10:.3g}" if log10 < CAP else f"1e{log10:.0f}"
