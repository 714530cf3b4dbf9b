"""The gate's answer as a record: numbers, a score and a sentence that says why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rollouts.eprocess.combine import threshold
from analytics.rollouts.eprocess.sample_ratio import is_suspicious
from analytics.rollouts.staging import over_budget
from ingest.contract.events import OF_FIRST_EVENTS, OF_SOAKS, GuardKind, GuardVerdict, Outcome, Verb, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.rollouts.bets import Bets
    from analytics.rollouts.gate import Gate
    from ingest.contract.events import RolloutPlan

CAP = 300.0
"""log10 of the greatest e-value that is written as a number."""


class Said(NamedTuple):
    """What people have decided (`forced`, see `Verdict`), and all that they said."""

    forced: str = ""
    people: list[str] = []  # noqa: RUF012 - never changed


NOTHING_SAID = Said()
FORCED = {Verb.ABORT: Outcome.FAIL, Verb.OVERRIDE: Outcome.PASS}
SCORES = {Outcome.PASS: 100.0, Outcome.FAIL: 0.0}


def verdict(
    gate: Gate, plan: RolloutPlan, *, policy: str, at: int, offsets: Mapping[str, int], said: Said = NOTHING_SAID
) -> Verdict:
    """What the gate answers at watermark `at` (ms), with `evidence` (rows taken) added to the offsets."""
    log10_e = gate.e_value_log10()
    forced = FORCED[Verb(said.forced)] if said.forced else None
    canaries, controls = gate.cohort.enrolled
    return Verdict(
        rollout=plan.rollout,
        tenant=plan.tenant,
        verdict=forced or gate.outcome,
        score=SCORES[forced] if forced else score(gate),
        e_value=significant(10.0 ** min(log10_e, CAP)),
        log10_e=log10_e,
        alpha=plan.alpha,
        n_canary=canaries,
        n_control=controls,
        reason=_forced(gate, said) + reason(gate, at) + _arms(gate, plan) + _stopped(gate, plan),
        at=at,
        since=gate.since,
        guards=[guard_verdict(bets) for bets in gate.bets],
        policy_hash=policy,
        offsets=dict(sorted({**offsets, "evidence": gate.rows}.items())),
        guilty=gate.guilty,
        forced=said.forced,
        people=said.people,
        observational=is_suspicious(*gate.first_drawn(), plan.first_share()),
    )


def guard_verdict(bets: Bets) -> GuardVerdict:
    """One guard's numbers; its harm e-value is not yet weighted."""
    canary, control = bets.events
    return GuardVerdict(
        name=bets.guard.name,
        kind=bets.guard.kind,
        log10_e_harm=bets.log10_harm,
        log10_e_safe=bets.log10_safe,
        events_canary=canary,
        events_control=control,
    )


def score(gate: Gate) -> float:
    """0 for fail, 100 for pass, else 50 (1 + s - h) kept within 1 to 94.

    h and s say how far, on the scale of logarithms, the e-value against harmlessness and the smallest non-inferiority
    e-value have come from 1 towards 1/alpha. Without evidence the score is 50.
    """
    if gate.outcome is not Outcome.INCONCLUSIVE:
        return SCORES[gate.outcome]
    limit = threshold(gate.alpha)
    safe = min(bets.log10_safe for bets in gate.bets)
    harm, safe = (min(1.0, max(0.0, value / limit)) for value in (gate.e_value_log10(), safe))
    return round(min(94.0, max(1.0, 50.0 * (1.0 + safe - harm))), 1)


def reason(gate: Gate, at: int) -> str:
    """One sentence for people at watermark `at` (ms), made of nothing but the gate's numbers."""
    if gate.outcome is Outcome.INCONCLUSIVE:
        sentence = _undecided(gate, at)
    else:
        sentence = _failed(gate) if gate.outcome is Outcome.FAIL else _passed(gate)
    return sentence + (f"; {gate.late} late facts are listed, not counted" if gate.late else "")


def _forced(gate: Gate, said: Said) -> str:
    ours = "; ".join(one for one in said.people if f" {said.forced}:" in one)
    return f"{ours}; the gate itself says {gate.outcome.value}: " if said.forced else ""


def _arms(gate: Gate, plan: RolloutPlan) -> str:
    (canaries, controls), share = gate.first_drawn(), plan.first_share()
    if not is_suspicious(canaries, controls, share):
        return ""
    return f"; observational: {canaries} canaries to {controls} controls are not the share {share:g} of the plan"


def _stopped(gate: Gate, plan: RolloutPlan) -> str:
    why = over_budget(plan, gate)
    return f"; nobody else gets the release: {why}" if why else ""


def significant(value: float, digits: int = 9) -> float:
    """Rounded to significant digits, so that two machines write the same."""
    return float(f"{value:.{digits}g}")


def _failed(gate: Gate) -> str:
    bets = next(bets for bets in gate.bets if bets.guard.name == gate.guilty)
    e_value = _number(gate.e_value_log10())
    return f"{gate.guilty}: {_counts(bets)}; e-value {e_value} has reached 1/alpha = {_number(threshold(gate.alpha))}"


def _passed(gate: Gate) -> str:
    margins = ", ".join(f"{bets.guard.name} below {bets.guard.margin:g}" for bets in gate.bets)
    return f"every guard is shown to be within its margin ({margins})"


def _undecided(gate: Gate, at: int) -> str:
    if sum(gate.cohort.enrolled) == 0:
        return "no devices enrolled yet"
    if not any(bets.guard.kind is GuardKind.SILENCE for bets in gate.bets):
        return f"no pass without a guard of kind silence: bricked devices are seen by no other; {_seen(gate)}"
    if not gate.comparable():
        return f"no concurrent control: no stratum has both arms at risk; {_seen(gate)}"
    needed, hours = _needed(gate), _hours_to_pass(gate, at)
    waiting = f", some {hours:.3g} h at the present rate" if hours else ""
    return f"{_seen(gate)}; if harmless, a pass needs {needed}{waiting}"


def _seen(gate: Gate) -> str:
    return ", ".join(f"{bets.guard.name}: {_counts(bets)}" for bets in gate.bets)


def _counts(bets: Bets) -> str:
    canary, control = bets.events
    if bets.guard.kind is GuardKind.UPDATE:
        return f"{canary} updates failed or were refused"
    if bets.guard.kind in OF_SOAKS:
        return f"the soak of {canary} canaries and {control} controls is over"
    return f"{canary} first events among canaries, {control} among controls"


def _needed(gate: Gate) -> str:
    first = [
        f"about {_events_to_pass(gate, bets)} more first events for {bets.guard.name}"
        for bets in gate.bets
        if bets.guard.kind in OF_FIRST_EVENTS
    ]
    others = [
        f"more {'soaks' if bets.guard.kind in OF_SOAKS else 'updates'} for {bets.guard.name}"
        for bets in gate.bets
        if bets.guard.kind not in OF_FIRST_EVENTS and bets.log10_safe < threshold(gate.alpha)
    ]
    return ", ".join(first + others)


def _hours_to_pass(gate: Gate, at: int) -> float:
    """Hours until the slowest guard has had its events, at the rate since the first draw; 0 when that cannot be told yet."""
    elapsed = (at - gate.started) / 3_600_000
    waits = [
        (_events_to_pass(gate, bets) / sum(bets.events) if sum(bets.events) else math.inf)
        for bets in gate.bets
        if bets.guard.kind in OF_FIRST_EVENTS
    ]
    longest = max(waits, default=0.0) * max(elapsed, 0.0)
    return significant(longest, 3) if math.isfinite(longest) else 0.0


def _events_to_pass(gate: Gate, bets: Bets) -> int:
    """Events until the non-inferiority e-value is expected at 1/alpha, were the ratio 1 and the arms as large as enrolled.

    Per event its logarithm grows by the Kullback-Leibler divergence of the arms' shares under 1 from those under the margin.
    """
    canaries, controls = gate.cohort.enrolled
    share = canaries / (canaries + controls)
    odds = bets.guard.margin * share
    tolerable = odds / (odds + 1.0 - share)
    if not 0.0 < share < 1.0:
        return 0
    growth = share * np.log10(share / tolerable) + (1.0 - share) * np.log10((1.0 - share) / (1.0 - tolerable))
    missing = threshold(gate.alpha) - bets.log10_safe
    return max(0, math.ceil(significant(missing / float(growth))))


def _number(log10: float) -> str:
    return f"{10.0**log10:.3g}" if log10 < CAP else f"1e{log10:.0f}"
