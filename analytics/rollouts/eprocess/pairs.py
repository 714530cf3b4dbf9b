"""The signed pair bet: is the canary's value by less than the margin worse than its partner's? For soaked statistics.

Sources: A. Ramdas, J. Ruf, M. Larsson, W. Koolen, "Testing exchangeability: fork-convexity, supermartingales and
e-processes" (2022) for betting on signs; R. Randles, D. Wolfe, "Introduction to the Theory of Nonparametric Statistics"
(1979), chapter 10, for symmetric differences.

The n-th canary of a stratum that has soaked is paired with the n-th control. D is the canary's value minus the margin minus
the control's (values are logarithms when the margin is a ratio). We see |D| first, its sign only then. The factor of the bet
"better than the margin", with strength k and the scale c of earlier pairs, is

    2 / (1 + exp(k D / c)).

Why the product is an e-process (sketch). At the boundary, where the release makes values worse by exactly the margin, the two
values of a pair are exchangeable after the shift, so D is symmetric: given |D| both signs have probability 1/2 and the factor's
mean is (2/(1 + y) + 2/(1 + 1/y)) / 2 = 1 with y = exp(k |D| / c). Beyond the margin a positive D is at least as likely as
that (D is symmetric and unimodal about a positive shift), and the factor falls with D: its mean is at most 1. c is made of
earlier pairs only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LEAST_PAIRS = 5
"""So many pairs give the first scale; they are not bet on."""
_NORMAL = 1.2533141373155003  # standard deviation over mean absolute deviation of a normal law


def log_factors(differences: Floats, seen: Floats, strengths: Floats) -> tuple[Floats, Floats]:
    """Logarithms of the factors, shape (n, strengths), natural, and `seen` after these pairs.

    `differences` (n,) are D in the order of the pairs' completion, `seen` (2,) the number of earlier pairs and the sum of
    their |D|.
    """
    sizes = np.cumsum(np.concatenate([[seen[1]], np.abs(differences)]))
    counts = seen[0] + np.arange(len(differences) + 1)
    scale = _NORMAL * sizes[:-1] / np.maximum(counts[:-1], 1.0)
    told = (counts[:-1] >= LEAST_PAIRS) & (scale > 0)
    relative = np.clip(differences / np.where(told, scale, 1.0), -1e6, 1e6)
    factors = np.log(2.0) - np.logaddexp(0.0, relative[:, None] * strengths)
    return np.where(told[:, None], factors, 0.0), np.array([counts[-1], sizes[-1]])
