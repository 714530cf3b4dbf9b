"""The score that people see."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", "float", "NDArray[np.float64]")


def score(rarity: T, asked: T) -> T:
    """0 to 1: one half where something is as rare as asked for. Both are minus the logarithms of probabilities."""
    return rarity / (rarity + asked)


def calibrated_score(tail_probability: float, asked_probability: float) -> float:
    """The score of probabilities, to nine digits."""
    rarity = -math.log(max(tail_probability, 1e-300))
    return float(f"{score(rarity, -math.log(asked_probability)):.9g}")
