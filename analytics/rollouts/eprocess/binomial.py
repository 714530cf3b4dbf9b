"""Betting on a share: of the canaries that answer their update, how many fail or refuse it?

Source: A. Wald, "Sequential Tests of Statistical Hypotheses" (1945), the likelihood ratio of two shares; mixed over shares.

Only canaries are updated, so there is no control to compare with: what is tolerable is the guard's margin p, a share of updates.
A canary that answers multiplies the stake on another share q by q / p when its update failed and by (1 - q) / (1 - p) when not.

Why the product is an e-process (sketch): if an update fails with probability r given all that was seen before, the factor's mean is
r q / p + (1 - r) (1 - q) / (1 - p), which is linear in r and 1 at r = p. For q > p it rises with r: at most 1 as long as r ≤ p (the bet
on harm). For q < p it falls: at most 1 as long as r ≥ p (the bet on harmlessness). Nothing is asked of the devices but that: one
outage of the image server fails many updates at once, and whoever promises r ≤ p has to mean that, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def worse_than(margin: float, effects: Floats) -> Floats:
    """Shares above the margin: the parts `effects` (k,) of the way from it to 1."""
    shares: Floats = margin + (1.0 - margin) * effects
    return shares


def better_than(margin: float, effects: Floats) -> Floats:
    """Shares below the margin: it times `effects` (k,), each between 0 and 1."""
    shares: Floats = margin * effects
    return shares


def log_factors(failed: Bools, shares: Floats, margin: float) -> Floats:
    """Logarithms of the factors of each answer, shape (n, k), natural; `failed` (n,), `shares` (k,) and `margin` in (0, 1)."""
    on_failure, on_success = np.log(shares / margin), np.log((1.0 - shares) / (1.0 - margin))
    factors: Floats = np.where(failed[:, None], on_failure, on_success)
    return factors
