"""How probable it is by chance that so many of the affected share something: the hypergeometric tail, and Holm's correction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TERMS = 4096
"""Terms of the tail that are added up: beyond the mean each is smaller than the one before."""


def log10_tail(fleet: int, having: int, affected: int, both: int) -> float:
    """log10 P(X >= both), where X of `affected` drawn from `fleet` without return are among the `having`.

    The first term by its logarithm, the others as cumulated ratios to it. Raises ValueError for what cannot be counted so.
    """
    least, most = max(0, affected + having - fleet), min(affected, having)
    if not (0 <= having <= fleet and 0 <= affected <= fleet and both <= most):
        raise ValueError(f"{both} of {affected} affected, {having} of a fleet of {fleet}: these are no counts")
    if both <= least:
        return 0.0
    steps = np.arange(both, min(most, both + TERMS), dtype=np.float64)  # empty where there is one term
    ratios = (having - steps) * (affected - steps) / ((steps + 1) * (fleet - having - affected + steps + 1))
    rest = float(np.cumprod(ratios).sum())
    first = _log_choose(having, both) + _log_choose(fleet - having, affected - both) - _log_choose(fleet, affected)
    return min(0.0, (first + math.log1p(rest)) / math.log(10))


def holm(log10_p: Sequence[float] | NDArray[np.float64], looked_at: int) -> list[float]:
    """Logarithms of tail probabilities, corrected for `looked_at` of them (Holm 1979): each true but by luck with what it says.

    `log10_p` are the least ones of all that were looked at, in rising order.
    """
    corrected, before = [], -math.inf
    for place, log10 in enumerate(log10_p):
        before = max(before, min(0.0, log10 + math.log10(max(looked_at - place, 1))))
        corrected.append(before)
    return corrected


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
