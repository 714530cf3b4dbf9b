"""For how many windows a series has brought the same value: a sensor that hangs, a counter that stands still.

A value repeats what the window before had when it is equal to the last digit and all samples of the window were. How long such
runs are is known of a series that has changed often enough; one that hardly ever changes says nothing. A run that
went on through an alarm until it was taken for normal is not counted any further: the alarm about it has been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 5
"""Shorter runs are not looked at."""
SURPRISE = 2.0
"""Of a run, for each window: one that is e times rarer is about two higher where runs end by chance (a mean of one)."""
CHANGES = 100
"""So often a series has to have changed before it can be stuck."""
LONGER = 1.5
"""And its run has to be so many times longer than any that ended."""
MOST = 65_000
KNOWN = 65_535
"""Repeats of a run that is not counted any further."""
_SAME = 1e-9


class Runs(NamedTuple):
    """What is known of each series, columns of shape (rows,).

    `repeats` u2: windows in a row that brought nothing new; `longest` u2: of the runs that ended; `changes` u1, at most
    `CHANGES`.
    """

    repeats: NDArray[np.uint16]
    longest: NDArray[np.uint16]
    changes: NDArray[np.uint8]


class Ended(NamedTuple):
    """The `rows` whose run has just ended, by number, and how many `repeats` it had."""

    rows: NDArray[np.int64]
    repeats: NDArray[np.uint16]


def repeated(mean: NDArray[np.float64], last: NDArray[np.float64], previous: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which windows brought nothing new: their last value is the one before, and so is their mean; shape (rows,)."""
    same: NDArray[np.bool_] = last == previous
    rows = where(same)
    same[rows] = np.abs(mean[rows] - last[rows]) <= _SAME * np.abs(last[rows])
    return same


def advance(known: Runs, same: NDArray[np.bool_]) -> Ended:
    """One window on: `known` is changed in place, but for `longest`."""
    if known.changes.size and known.changes.min() < CHANGES:
        np.add(known.changes, ~same & (known.changes < CHANGES), out=known.changes)
    running = where(known.repeats != 0)
    over = running[~same[running]]
    ended = Ended(over, known.repeats[over])
    known.repeats[over] = 0
    goes_on = where(same)
    goes_on = goes_on[known.repeats[goes_on] < MOST]
    known.repeats[goes_on] += np.uint16(1)
    return ended


def lasting(known: Runs) -> NDArray[np.int64]:
    """The rows whose run is longer than theirs have been, ascending."""
    rows = where(known.repeats >= FEWEST)
    repeats = known.repeats[rows]
    longer = repeats > np.float32(LONGER) * known.longest[rows]
    lasts: NDArray[np.int64] = rows[longer & (repeats != KNOWN) & (known.changes[rows] >= CHANGES)]
    return lasts


def surprise(repeats: NDArray[np.uint16]) -> NDArray[np.float32]:
    """How surprising runs are, shape (rows,)."""
    return repeats.astype(np.float32) * np.float32(SURPRISE)
