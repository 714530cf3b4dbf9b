"""Whether windows meet a rule's condition: pure and vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rules.kinds import Rate, Threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch


class Judgement(NamedTuple):
    """By row: the number that was judged, whether the condition holds, and whether it is over; neither: as before."""

    value: NDArray[np.float64]
    enter: NDArray[np.bool_]
    leave: NDArray[np.bool_]


def statistic(name: str, batch: RollupBatch) -> NDArray[np.float64]:
    """One number of each window, shape (rows,)."""
    if name == "mean":
        mean: NDArray[np.float64] = batch.column("sum") / np.maximum(batch.column("count"), 1)
        return mean
    column: NDArray[np.float64] = batch.column(name).astype(np.float64, copy=False)
    return column


def judge(
    rule: Threshold, value: NDArray[np.float64], before: NDArray[np.float64], apart_ms: NDArray[np.int64]
) -> Judgement:
    """Judge one window of each series; `before` is the statistic of the window before (NaN without one), `apart_ms` earlier."""
    if isinstance(rule, Rate):
        value = (value - before) / (np.maximum(apart_ms, 1) / 1000)
    if rule.above is not None:
        return Judgement(value, value > rule.above, value <= rule.above if rule.leave is None else value < rule.leave)
    below = rule.below or 0.0
    return Judgement(value, value < below, value >= below if rule.leave is None else value > rule.leave)
