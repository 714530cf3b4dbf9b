"""What a rule says of windows: pure and vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.rules.config import RuleConfig
    from edge_aggregator.windows.rollups import Rollups


class Before(NamedTuple):
    """The window before, of each series, shape (rows,): its statistic (NaN without any) and where it ended (ms)."""

    value: NDArray[np.float64]
    end: NDArray[np.int64]


class Judgement(NamedTuple):
    """By row, shape (rows,): the number that was judged, whether it enters the alarm, and whether it leaves it.

    Between the two (hysteresis), and while there is no window before to compare with, it does neither.
    """

    value: NDArray[np.float64]
    enter: NDArray[np.bool_]
    leave: NDArray[np.bool_]


def statistic(rule: RuleConfig, rows: Rollups) -> NDArray[np.float64]:
    """The number of each window that the rule looks at."""
    if rule.kind == "flat":
        return rows.last
    if rule.statistic == "mean":
        return rows.sum / rows.samples
    if rule.statistic == "count":
        return rows.samples.astype(np.float64)
    found: NDArray[np.float64] = getattr(rows, rule.statistic)
    return found


def judge(rule: RuleConfig, rows: Rollups, before: Before) -> Judgement:
    """Judge one window of each series."""
    value = statistic(rule, rows)
    if rule.kind == "flat":
        moved = np.maximum(rows.max - rows.min, np.abs(value - before.value))  # NaN without a window before
        return Judgement(value, moved <= rule.within, moved > rule.within)
    if rule.kind == "rate":
        seconds = np.maximum(rows.start + rows.width - before.end, 1) / 1000
        value = (value - before.value) / seconds
    if rule.above is not None:
        return Judgement(value, value > rule.above, value <= rule.above if rule.leave is None else value < rule.leave)
    below = rule.below or 0.0
    return Judgement(value, value < below, value >= below if rule.leave is None else value > rule.leave)
