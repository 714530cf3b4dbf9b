"""Several guards, one answer: what an e-process is worth to somebody who looks at more than it was made for.

Sources: G. Shafer, A. Shen, N. Vereshchagin, V. Vovk, "Test Martingales, Bayes Factors and p-Values" (2011), section 3; Y. J. Choe,
A. Ramdas, "Combining Evidence Across Filtrations Using Adjusters" (2024); R. Marcus, E. Peritz, K. R. Gabriel, "On Closed Testing
Procedures" (1976).

A guard's e-process is one in the history of its own events. In the joint history of all guards it need not be: a crash often brings
a silence, so whoever knows the crashes knows something of where the next silence will be, and at a moment that another guard has
chosen the mean may exceed 1. What stays true is Ville's inequality for the running maximum M: P(M ever ≥ c) ≤ 1/c. An adjuster is a
rising function A with ∫ A(m) / m² dm ≤ 1 over m ≥ 1, and then A(M) is an e-process in every finer history (sketch: at any stopping
time τ, P(M_τ ≥ c) ≤ 1/c, so M_τ is stochastically at most a variable U with P(U ≥ c) = 1/c, and the mean of A(M_τ) is at most
that of A(U), which is the integral).

Each guard goes through the all-or-nothing adjuster A(m) = c if m ≥ c, else 0, with c = 1 / (alpha · weight): the integral is 1.
The weighted mean of the adjusted guards, an e-process in the joint history, is 1/alpha times the number of guards whose maximum
has reached its c: it reaches 1/alpha when the first one does. No other adjuster gets there from a smaller maximum of one guard
alone, and against a mean of the plain e-processes (which would be allowed only in one joint history) it loses nothing when one
guard has all the evidence.

Blame by closed testing: the hypothesis "all guards of S are harmless" is rejected when the same mean over S, with the weights taken
relative to their sum, reaches 1/alpha; a guard is guilty when every S that contains it is rejected. The guard that reached
its level first is: in a smaller S its level is lower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def weighted(log10_harm: Floats, weight: float) -> Floats:
    """log10 of weight times harm e-value, of any shape, rounded to nine decimals so that machines agree on it."""
    times_weight: Floats = np.round(log10_harm + np.log10(weight), 9) + 0.0
    return times_weight


def threshold(alpha: float) -> float:
    """log10 of 1/alpha, rounded to nine decimals."""
    return round(float(-np.log10(alpha)), 9)


def fails(weighted_harm: Floats, alpha: float) -> Bools:
    """Whether the mean of the adjusted guards has reached 1/alpha, shape (n,); `weighted_harm` has shape (guards, n)."""
    reached: Bools = np.any(weighted_harm >= threshold(alpha), axis=0)
    return reached


def passes(log10_safe: Floats, alpha: float) -> Bools:
    """Whether the smallest non-inferiority e-value is at 1/alpha, shape (n,); `log10_safe` has shape (guards, n).

    A release that is beyond the margin of some guard passes with probability at most alpha: that guard's e-value must reach 1/alpha.
    """
    reached: Bools = np.all(log10_safe >= threshold(alpha), axis=0)
    return reached
