"""The anytime-valid logrank bet: how much likelier the arms of the next first events are under one hazard ratio.

Source: J. ter Schure, M. F. Pérez-Ortiz, A. Ly, P. Grünwald, "The Safe Logrank Test: Error Control under Continuous
Monitoring with Unlimited Horizon" (2021); ties as in D. R. Cox, "Regression Models and Life-Tables" (1972), section 6.

At an event time a stratum has n1 canaries and n0 controls at risk, and d of them have their first event, o canaries
among them. Given (n1, n0, d) and hazard ratio θ, o has Fisher's noncentral hypergeometric law

    q_θ(o) = C(n1, o) C(n0, d - o) θ^o / Z(θ),   Z(θ) = Σ_x C(n1, x) C(n0, d - x) θ^x,

for θ = 1 the hypergeometric one. The factor of the bet "θ, not θ0" is q_θ(o) / q_θ0(o).

Why the product is an e-process (sketch). Under θ0 itself the factor's mean, given the past, is Σ_o q_θ(o) = 1. For
θ > θ0 the factor rises with o, and a true ratio below θ0 makes o stochastically smaller (q has a monotone likelihood
ratio in θ): the mean is at most 1 for the whole null "ratio ≤ θ0". The same with both signs turned for θ < θ0 and
"ratio ≥ θ0". A product of such factors over event times and strata is a nonnegative supermartingale that starts at 1,
and so is any fixed mixture of them; by Ville's inequality it ever reaches 1/alpha with probability at most alpha.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from analytics.rollouts.eprocess.mixture import log_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


def log_factors(
    events_canary: Ints, events: Ints, canaries: Ints, controls: Ints, log_ratios: Floats, *, log_null: float
) -> Floats:
    """Logarithms of q_θ(o) / q_θ0(o), shape (event times, ratios), natural.

    The first four have shape (event times,): o, d, n1 and n0 as in the module's text; `log_ratios` has shape (ratios,).
    A stratum with one arm, or whose devices all fail at once, says nothing: its row is exactly 0.
    """
    factors = np.zeros((len(events), len(log_ratios)))
    telling = (canaries > 0) & (controls > 0) & (events > 0) & (events < canaries + controls)
    o, d, n1, n0 = (column[telling] for column in (events_canary, events, canaries, controls))
    normalisers = _normalisers(d, n1, n0, np.append(log_ratios, log_null))
    factors[telling] = o[:, None] * (log_ratios - log_null) - (normalisers[:, :-1] - normalisers[:, -1:])
    return factors


def _normalisers(events: Ints, canaries: Ints, controls: Ints, log_ratios: Floats) -> Floats:
    # One event at a time is the common case: Z(θ) = n1 θ + n0.
    logs: Floats = np.log(canaries[:, None] * np.exp(log_ratios) + controls[:, None])
    for row in np.flatnonzero(events > 1):
        logs[row] = log_normaliser(int(events[row]), int(canaries[row]), int(controls[row]), log_ratios)
    return logs


def log_normaliser(events: int, canaries: int, controls: int, log_ratios: Floats) -> Floats:
    """Log Z(θ) for each ratio, shape (ratios,); `events` are at most `canaries + controls`."""
    x = np.arange(max(0, events - controls), min(events, canaries) + 1)
    ways = _log_choose(canaries, x) + _log_choose(controls, events - x)
    return log_sum(ways[:, None] + x[:, None] * log_ratios, axis=0)


def _log_choose(n: int, k: Ints) -> Floats:
    table = _log_factorials(1 << max(6, n.bit_length()))
    chosen: Floats = table[n] - table[k] - table[n - k]
    return chosen


@lru_cache(maxsize=32)
def _log_factorials(size: int) -> Floats:
    # Sizes are powers of two, so that few tables are ever made.
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
