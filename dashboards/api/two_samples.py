"""Whether one series lies above or below another: for judges that are asked once, about two series of numbers.

Two tests, because each is blind where the other sees: ranks (H. B. Mann, D. R. Whitney, 1947) see a shift of the whole, and
exceedances (J. D. Gibbons, S. Chakraborti, "Nonparametric Statistical Inference", section on precedence tests) see a few values
beyond all of the other series, which ranks lose among ties. Asked again and again, such a judge goes wrong: the gate does not.
"""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

RANKS, EXCEEDANCES, BESIDE_A_CONSTANT = 0.02, 0.015, 0.1
"""p-values up to which a direction is called: of the ranks, of the exceedances, and of either where the control never varies."""


class Direction(StrEnum):
    """Which difference is bad."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Comparison(NamedTuple):
    """p-values (one-sided) for "the experiment is higher" and "… lower", and which of them is decisive: High, Low or Pass."""

    higher: float
    lower: float
    classification: str
    reason: str


def compare(control: Sequence[float], experiment: Sequence[float], direction: Direction) -> Comparison:
    """Compare two series of finite numbers, each with at least one."""
    constant = min(control) == max(control)
    higher = _evidence(control, experiment)
    lower = _evidence([-value for value in control], [-value for value in experiment])
    if direction is not Direction.DECREASE and _is_decisive(higher, constant=constant):
        return Comparison(min(higher), min(lower), "High", f"the experiment is higher: p = {min(higher):.3g}")
    if direction is not Direction.INCREASE and _is_decisive(lower, constant=constant):
        return Comparison(min(higher), min(lower), "Low", f"the experiment is lower: p = {min(lower):.3g}")
    return Comparison(min(higher), min(lower), "Pass", "")


def p_of_ranks(control: Sequence[float], experiment: Sequence[float]) -> float:
    """One-sided p-value of Mann and Whitney for "the experiment is higher": normal approximation, ties, continuity."""
    n1, n0 = len(experiment), len(control)
    n = n1 + n0
    counts = Counter([*control, *experiment])
    rank, below = {}, 0
    for value in sorted(counts):
        rank[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    u = sum(rank[value] for value in experiment) - n1 * (n1 + 1) / 2
    ties = sum(count**3 - count for count in counts.values())
    variance = n1 * n0 / 12 * (n + 1 - ties / max(1, n * (n - 1)))
    return 1.0 if variance <= 0 else NormalDist().cdf(-(u - n1 * n0 / 2 - 0.5) / math.sqrt(variance))


def p_of_exceedances(control: Sequence[float], experiment: Sequence[float]) -> float:
    """How probable it is, were all labels exchangeable, that as many of the greatest values are the experiment's as are."""
    top = max(control)
    beyond = sum(value > top for value in experiment)
    n1, n = len(experiment), len(experiment) + len(control)
    return math.prod((n1 - i) / (n - i) for i in range(beyond))


def _evidence(control: Sequence[float], experiment: Sequence[float]) -> tuple[float, float]:
    return p_of_ranks(control, experiment), p_of_exceedances(control, experiment)


def _is_decisive(p_values: tuple[float, float], *, constant: bool) -> bool:
    ranks, exceedances = p_values
    return ranks <= RANKS or exceedances <= EXCEEDANCES or (constant and min(p_values) <= BESIDE_A_CONSTANT)
