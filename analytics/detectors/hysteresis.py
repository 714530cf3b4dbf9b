"""When an alarm begins and ends.

Two of the last three windows must be surprising, which is to say: their median. The median is what the tails are pooled
of (`calibrate.py`), so the rate holds for "two of three" as it is, however much neighbouring windows depend on each
other. An alarm ends after `CALM` windows in a row that are well below what it takes to begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

CALM = 3
LEAVE_SHARE = 0.5
"""A window is calm when its surprise is below this share of what it takes to enter."""


class Changes(NamedTuple):
    """Alarms after one window, columns of shape (rows,): `alarm` u1, `calm` u1, and who has just entered or left."""

    alarm: NDArray[np.uint8]
    calm: NDArray[np.uint8]
    entered: NDArray[np.bool_]
    left: NDArray[np.bool_]


def middle_of_three(first: NDArray[T], second: NDArray[T], third: NDArray[T]) -> NDArray[T]:
    """The median of each row's three values: above a threshold exactly when two of them are."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    middle: NDArray[T] = np.maximum(low, np.minimum(high, third))
    return middle


def advance(
    alarm: NDArray[np.uint8], calm: NDArray[np.uint8], exceeds: NDArray[np.bool_], calms: NDArray[np.bool_]
) -> Changes:
    """One window on. `exceeds`: two of three are surprising; `calms`: this window is not."""
    on = alarm != 0
    in_a_row = np.where(on & calms, np.minimum(calm, np.uint8(254)) + np.uint8(1), np.uint8(0))
    entered = ~on & exceeds
    left = on & (in_a_row >= CALM)
    after = ((on | entered) & ~left).astype(np.uint8)
    return Changes(after, np.where(left, np.uint8(0), in_a_row), entered, left)
