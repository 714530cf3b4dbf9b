"""Details of windows from their samples: sketches, growth of counters, changes of states. One definition for all orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.aspects import LINKED, Aspect
from ingest.contract.details import NO_DETAILS, Details
from ingest.contract.sketch import sketch, unlike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.windows.statistics import Kept
    from edge_aggregator.windows.tails import Before


class Asked(NamedTuple):
    """What is asked of each window, shape (windows,): its `Aspect`, and how far back (ms) the sample before it may lie."""

    aspect: NDArray[np.uint8]
    reach: NDArray[np.int64]

    def linked(self) -> NDArray[np.bool_]:
        """Which windows depend on the sample before them."""
        found: NDArray[np.bool_] = (self.aspect & LINKED) > 0
        return found

    def looks_back(self) -> NDArray[np.int64]:
        """How far back each window depends on samples (ms); 0 for those that depend on their own only."""
        return np.where(self.linked(), self.reach, 0)

    def rows(self, which: NDArray[np.int64]) -> Asked:
        """Some of the windows."""
        return Asked(self.aspect[which], self.reach[which])


def asked_of(names: Names, series: NDArray[np.int64]) -> Asked:
    """What is asked of windows of these series, shape (windows,)."""
    return Asked(names.columns["aspect"][series], names.columns["reach"][series])


def details(kept: Kept, asked: Asked, before: Before) -> Details:
    """What is asked of the windows; `kept` are their samples by (window, ts), each identity once."""
    if not asked.aspect.any():
        return NO_DETAILS
    sketched, counted, stated = (np.flatnonzero(asked.aspect & flag) for flag in Aspect)
    place = _places(sketched, len(asked.aspect))[kept.window]
    sketches = sketch(place[place >= 0], kept.value[place >= 0], len(sketched))
    grown, fell, changed = _growth(kept, asked, before)
    increase, resets, changes = np.zeros(len(asked.aspect)), *(np.zeros((2, len(asked.aspect)), np.int64))
    np.add.at(increase, kept.window, grown)  # from left to right: sums in another order differ in their last bits
    np.add.at(resets, kept.window, fell)
    np.add.at(changes, kept.window, changed)
    return Details(sketched, sketches, counted, increase[counted], resets[counted], stated, changes[stated])


def differ(one: Details, other: Details, windows: int) -> NDArray[np.bool_]:
    """Which of so many windows have other details, shape (windows,); both were asked for the same."""
    found = np.zeros(windows, np.bool_)
    if not one:
        return found
    found[one.sketch_row[unlike(one.sketches, other.sketches)]] = True
    grown = one.increase.view(np.int64) != other.increase.view(np.int64)
    found[one.counter_row[grown | (one.resets != other.resets)]] = True
    found[one.state_row[one.changes != other.changes]] = True
    return found


def _growth(
    kept: Kept, asked: Asked, before: Before
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    # By sample: how much it grew, whether it fell, whether it is another than the one before it.
    window = kept.window
    first = np.append(True, window[1:] != window[:-1])[: len(window)]
    ts = np.where(first, before.ts[window], np.roll(kept.ts, 1))
    value = np.where(first, before.value[window], np.roll(kept.value, 1))
    known = ~first | ((ts >= 0) & (kept.ts - ts <= asked.reach[window]))
    fell = known & (kept.value < value)
    grown = np.where(fell, np.maximum(kept.value, 0.0), kept.value - value)
    return np.where(known, grown, 0.0), fell, known & (kept.value != value)


def _places(rows: NDArray[np.int64], windows: int) -> NDArray[np.int64]:
    place = np.full(windows, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return place
