"""Mixtures of bets: nobody knows how great an effect is, so the stake is split over several.

Source: H. Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm" (1970): the method of mixtures.
Proof sketch: each component is a nonnegative supermartingale that starts at 1; an average with fixed weights is one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Mixture(NamedTuple):
    """Effects that are bet on, shape (k,), and the logarithms of the shares of the stake, shape (k,), natural."""

    effects: Floats
    log_weights: Floats


def mixture(stakes: dict[float, float]) -> Mixture:
    """Effect to stake; stakes are taken relative to their sum."""
    weights = np.array(list(stakes.values()))
    return Mixture(np.array(list(stakes)), np.log(weights / weights.sum()))


def log_sum(logs: Floats, axis: int) -> Floats:
    """Logarithm of the sum of exponentials along `axis`, without overflow."""
    top = logs.max(axis=axis, keepdims=True)
    total: Floats = np.log(np.exp(logs - top).sum(axis=axis)) + top.squeeze(axis)
    return total


def log10_mixture(logs: Floats, mixed: Mixture) -> Floats:
    """log10 of the mixture; `logs` are natural, shape (n, k). Rounded to nine decimals so that machines agree on it."""
    total: Floats = np.round(log_sum(logs + mixed.log_weights, axis=1) / np.log(10.0), 9) + 0.0
    return total
