"""A detector of the round: has the series stopped to change, for longer than like ones ever do?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.calibrate import bins_of
from analytics.detect.merge import Detector
from analytics.detect.pools import SILENT
from analytics.detectors.stuck import KNOWN, Runs, advance, lasting, repeated, surprise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import State
    from analytics.detect.pools import Pools
    from analytics.detect.round import Rows


class ByStuck(NamedTuple):
    """Of the `rows` whose run is longer than theirs ever were, by number, ascending: the `bins` of surprise.

    `speaks`: there is a threshold; `hits`: it is reached; `repeats`: windows without a change.
    """

    rows: NDArray[np.int64]
    bins: NDArray[np.uint8]
    repeats: NDArray[np.uint16]
    speaks: NDArray[np.bool_]
    hits: NDArray[np.bool_]


def look(state: State, pools: Pools, rows: Rows) -> ByStuck:
    """Count repeats on by a window, and judge the runs that are long; what has ended outside of an alarm is learned."""
    runs = _runs(state)
    ended = advance(runs, repeated(rows.mean, rows.last, state["previous"]))
    learned = (ended.repeats != KNOWN) & (state["alarm"][ended.rows] == 0)
    over, repeats = ended.rows[learned], ended.repeats[learned]
    if over.size:
        runs.longest[over] = np.maximum(runs.longest[over], repeats)
        pools.add_rare(Detector.STUCK, state["cohort"][over], bins_of(surprise(repeats)))
    long = lasting(runs)
    bins = bins_of(surprise(runs.repeats[long]))
    enter = pools.thresholds(Detector.STUCK, state["cohort"][long]).enter
    return ByStuck(long, bins, runs.repeats[long], enter != SILENT, (bins >= enter) & (enter != SILENT))


def accept(state: State, rows: NDArray[np.int64]) -> None:
    """The runs of these rows are normal from now on."""
    runs = _runs(state)
    running = rows[runs.repeats[rows] > 0]
    repeats = np.where(runs.repeats[running] == KNOWN, np.uint16(0), runs.repeats[running])
    runs.longest[running] = np.maximum(runs.longest[running], repeats)
    runs.repeats[running] = KNOWN


def _runs(state: State) -> Runs:
    return Runs(state["repeats"], state["longest_run"], state["changes"])
