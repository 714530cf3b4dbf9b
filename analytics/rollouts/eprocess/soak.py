"""What is compared of a device whose soak is over, such that higher is worse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analytics.rollouts.eprocess.counts import classes
from ingest.contract.events import GuardKind, Scale, Worse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.events import Guard

    Floats = NDArray[np.float64]

_SMALLEST, _GREATEST = 1e-300, 1e12


def measures(guard: Guard, values: Floats, before: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """What to compare, shape (n,), and whether it is a change from the device's own past.

    A value that is no number counts as the worst. A change is taken where `before` is known (not NaN), whatever the other
    devices have: it was measured before the release, so the arm cannot have made it. Shares and counts are taken as they are.
    """
    sign = -1.0 if guard.worse is Worse.LOWER else 1.0
    own = ~np.isnan(before) & (guard.kind is GuardKind.SOAK)
    measured = sign * (_scaled(guard, values) - np.where(own, _scaled(guard, np.where(own, before, 1.0)), 0.0))
    return np.clip(np.nan_to_num(measured, nan=_GREATEST), -_GREATEST, _GREATEST), own


def margin_of(guard: Guard) -> float:
    """The margin on the scale of `measures`."""
    by_ratio = guard.kind is GuardKind.SOAK and guard.scale is Scale.RATIO
    return math.log(guard.margin) if by_ratio else guard.margin


def _scaled(guard: Guard, values: Floats) -> Floats:
    if guard.kind is GuardKind.COUNT:
        return classes(values)
    if guard.kind is GuardKind.SHARE:
        return np.clip(values, 0.0, 1.0)
    logs: Floats = np.log(np.maximum(values, _SMALLEST)) if guard.scale is Scale.RATIO else values
    return logs
