"""Betting on a bounded mean: shares of devices (failed requests, time in an error state) between 0 and 1.

Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting" (2023), section 4.

The n-th canary of a stratum that has soaked is paired with the n-th control; D in [-1, 1] is the canary's share minus the
control's. The factor of the bet "worse by more than m" with stake λ in [0, 1) is 1 + λ (D - m) / (1 + m), and that of "better
than m" is 1 + λ (m - D) / (1 + m).

Why the product is an e-process (sketch). The factor is positive since |D - m| ≤ 1 + m, and its mean given the past is at most 1
as soon as the mean of D is at most m (at least m for the other bet): nothing is asked of the shape of D. Products of such factors
are nonnegative supermartingales; a mixture over stakes stands in for the unknown best one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def log_factors(differences: Floats, stakes: Floats, *, margin: float) -> Floats:
    """Logarithms of the factors of "the mean is greater than `margin`", shape (n, stakes), natural.

    `differences` (n,) lie in [-1, 1], `stakes` (k,) in [0, 1). For "less than", turn the signs of both.
    """
    gains = (differences - margin) / (1.0 + abs(margin))
    factors: Floats = np.log1p(gains[:, None] * stakes)
    return factors
