"""Which Golomb-Rice parameter suits numbers best, from how long they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.rice import ESCAPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers

_LENGTHS = 65
_CHOICES = 57


def _costs() -> NDArray[np.float64]:
    # Bits that a number of so many bits takes on average, shape (lengths, parameters): its quotient lies in the middle.
    length, low = np.arange(_LENGTHS)[:, None], np.arange(_CHOICES)[None, :]
    quotient = np.where(length > low, 0.75 * np.exp2(np.minimum(length - low, 12)), 0)
    return np.where(quotient < ESCAPE, low + 1 + quotient, ESCAPE + 1 + 64)


_COSTS = _costs()


def best_parameters(lengths: Integers, group: Integers, groups: int) -> tuple[Integers, NDArray[np.float64]]:
    """The parameter of each group and about how many bits its numbers take with it, shape (groups,) each.

    `lengths`, shape (n,), are bit lengths (0 to 64); `group`, shape (n,), says whose.
    """
    counted = np.bincount(group * _LENGTHS + lengths, minlength=groups * _LENGTHS).reshape(groups, _LENGTHS)
    costs = counted @ _COSTS
    best = np.argmin(costs, axis=1)
    return best, costs[np.arange(groups), best]
