"""Why a verdict is what it is, in sentences, and how every guard's e-value came to where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.rollouts.eprocess.combine import threshold
from analytics.rollouts.gate import new_gate, weighted_harm
from analytics.rollouts.late import in_their_places
from ingest.contract.events import OF_SOAKS, GuardKind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.rollouts.bets import Bets
    from analytics.rollouts.gate import Gate
    from ingest.contract.events import Evidence, Guard

HOUR_MS = 3_600_000.0


class Trace(msgspec.Struct, frozen=True):
    """One guard's way: `hours` since the first draw, log10 of weight times e-value for harm, and of that for harmlessness."""

    guard: str
    hours: list[float]
    harm: list[float]
    safe: list[float]


class Explanation(msgspec.Struct, frozen=True):
    """Sentences for people, every guard's way, and log10 of 1/alpha, which they are measured by."""

    sentences: list[str]
    traces: list[Trace]
    limit: float


def explain(guards: Sequence[Guard], alpha: float, evidence: Sequence[Evidence]) -> Explanation:
    """Judge the evidence (in the order in which it was taken) and say why; beside it, what late facts would have changed."""
    gate = new_gate(guards, alpha)
    limit = threshold(alpha)
    if not evidence:
        return Explanation(["Nothing has been recorded yet."], [], limit)
    walk = gate.walk(gate.roster.columns(evidence))
    hours = np.concatenate([[0.0], (walk.at - gate.started) / HOUR_MS]).round(4).tolist()
    traces = [
        Trace(bets.guard.name, hours, harm.tolist(), safe.tolist())
        for bets, harm, safe in zip(gate.bets, walk.harm, walk.safe, strict=True)
    ]
    return Explanation(_sentences(gate, hours[-1], _of_late(gate, evidence)), traces, limit)


def _sentences(gate: Gate, hours: float, late: list[str]) -> list[str]:
    canaries, controls = gate.cohort.enrolled
    devices = f"{canaries} canaries and {controls} controls in {gate.cohort.strata} strata (waves counted apart)"
    promise = f"A harmless release would be called bad with probability at most {gate.alpha:g}, however often one looks"
    first = [
        f"{devices}, {gate.rows} rows of evidence over {hours:.3g} hours.",
        f"{promise}: a guard must reach 1/(alpha x weight).",
    ]
    return [*first, *(_guard_sentence(gate, bets) for bets in gate.bets), *late, _conclusion(gate)]


def _of_late(gate: Gate, evidence: Sequence[Evidence]) -> list[str]:
    if not gate.late:
        return []
    beside = new_gate([bets.guard for bets in gate.bets], gate.alpha)
    beside.apply(in_their_places(evidence))
    would = f"{beside.outcome.value}, the greatest weighted e-value 10^{beside.e_value_log10():.2f}"
    instead = f"{gate.outcome.value}, 10^{gate.e_value_log10():.2f}"
    return [
        f"{gate.late} facts came too late: they are listed and counted for nothing.",
        f"Judged beside it with these in their places: {would} (instead of {instead}).",
    ]


def _guard_sentence(gate: Gate, bets: Bets) -> str:
    canary, control = bets.events
    seen = "soaks" if bets.guard.kind in OF_SOAKS else "first events"
    seen = "failed updates" if bets.guard.kind is GuardKind.UPDATE else seen
    needed = threshold(gate.alpha) - float(np.log10(bets.weight))
    harm = f"against harmlessness 10^{bets.log10_harm:.2f} of 10^{needed:.2f}"
    safe = f"against the margin {bets.guard.margin:g} 10^{bets.log10_safe:.2f} of 10^{threshold(gate.alpha):.2f}"
    return f"{bets.guard.name} ({bets.guard.kind.value}): {canary} canaries' and {control} controls' {seen}; {harm}, {safe}."


def _conclusion(gate: Gate) -> str:
    if gate.outcome is Outcome.FAIL:
        when = (gate.failed_at - gate.started) / HOUR_MS
        return f"fail, {when:.3g} hours after the first draw: {gate.guilty} has reached what it needs, and closed testing blames it."
    if gate.outcome is Outcome.PASS:
        return "pass: every guard is shown to be within its margin."
    nearest = max(gate.bets, key=weighted_harm)
    open_guards = ", ".join(b.guard.name for b in gate.bets if b.log10_safe < threshold(gate.alpha))
    return f"inconclusive: nearest to a fail is {nearest.guard.name}; not yet shown to be within their margins: {open_guards}."
