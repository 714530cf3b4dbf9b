"""The Numenta Anomaly Benchmark's own score (Lavin and Ahmad 2015, arXiv:1510.03336), its threshold optimiser included.

Each labelled window earns what its best detection earns: early ones more, none at all costs. Every detection outside of
windows costs, just behind a window less. The first 15 % of a file (750 rows at the most) are not scored. A score of 0 is
a detector that says nothing, 100 one that says the first row of each window and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PROBATION = 0.15
PROBATION_ROWS = 5000
FAR_BEHIND = 3.0
"""In widths of the window before: from here on a detection costs its whole."""
STEEPNESS = 5.0


class Profile(NamedTuple):
    """What a window found earns, a detection outside costs, and a window missed costs."""

    found: float
    outside: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}


class Rows(NamedTuple):
    """The scored rows of one or more files, shape (rows,).

    `worth` f8: a detection's, in -1 … 1, before weights; `window` i8: the number of the labelled window, -1 outside.
    `windows`: how many there are.
    """

    worth: NDArray[np.float64]
    window: NDArray[np.int64]
    windows: int


def probation(rows: int) -> int:
    """How many first rows of a file of `rows` are not scored."""
    return int(np.ceil(min(np.floor(PROBATION * rows), PROBATION * PROBATION_ROWS)))


def worth(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a detection, by its place: -1 a window's first row, 0 its end, 1 one width behind it."""
    sigmoid: NDArray[np.float64] = 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(position, FAR_BEHIND))) - 1.0
    return np.where(position >= FAR_BEHIND, -1.0, sigmoid)


def rows_of(length: int, windows: Sequence[tuple[int, int]]) -> Rows:
    """The scored rows of a file of `length` rows with labelled `windows` (first and last row of each, in order)."""
    at = np.arange(length)
    position, window = np.full(length, FAR_BEHIND), np.full(length, -1, np.int64)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        position[first : last + 1] = -(last - at[first : last + 1] + 1) / width
        position[last + 1 :] = (at[last + 1 :] - last) / (width - 1)
        window[first : last + 1] = number
    scored = slice(probation(length), None)
    return Rows(worth(position)[scored], window[scored], len(windows))


def join(files: Sequence[Rows]) -> Rows:
    """All files as one."""
    before = np.cumsum([0, *(rows.windows for rows in files)])
    window = [np.where(rows.window < 0, -1, rows.window + first) for rows, first in zip(files, before, strict=False)]
    return Rows(np.concatenate([rows.worth for rows in files]), np.concatenate(window), int(before[-1]))


class Sweep(NamedTuple):
    """The score at each threshold, highest threshold first; the first is that of no detection."""

    thresholds: NDArray[np.float64]
    scores: NDArray[np.float64]

    def best(self) -> float:
        """The score at the best threshold."""
        return float(self.scores.max())

    def at(self, threshold: float) -> float:
        """The score when every row that reaches `threshold` is a detection."""
        return float(self.scores[int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1])


def sweep(rows: Rows, scores: NDArray[np.float64], profile: Profile) -> Sweep:
    """All thresholds at once. `scores` of the scored rows, shape (rows,)."""
    order = np.argsort(-scores, kind="stable")
    value, window, ranked = rows.worth[order], rows.window[order], scores[order]
    change = np.where(window < 0, value * profile.outside, 0.0)
    for number in range(rows.windows):
        inside = np.flatnonzero(window == number)
        earned = value[inside] * profile.found / worth(np.array([-1.0]))[0]
        best = np.maximum.accumulate(np.concatenate([[-profile.missed], earned]))
        change[inside] = np.diff(best)
    nothing, perfect = -profile.missed * rows.windows, profile.found * rows.windows
    total = nothing + np.concatenate([[0.0], np.cumsum(change)])
    ends = np.concatenate([[0], np.flatnonzero(np.diff(ranked, append=-np.inf) != 0) + 1])
    thresholds = np.concatenate([[np.inf], ranked[ends[1:] - 1]])
    return Sweep(thresholds, 100.0 * (total[ends] - nothing) / (perfect - nothing))
