"""What of a series is looked at: a gauge's mean, or the rate of something that only ever grows.

A metric declared a counter is one. Any other that rose in most of its first windows and never fell is taken for one
until it falls (`uptime_s`, bytes sent): its rate is looked at, and its growth alarms nobody. A window's extremes are not
looked at: one outlying sample among many moves the mean by its share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAUGE = 0
COUNTER = 1
"""Declared so: a fall is a reset, and that window has no rate."""
GROWING = 2
"""Found to be one: a fall says that it is none, and it is learned anew as a gauge."""
STATE = 3
"""Names of states, not amounts: not looked at."""

BY_NAME = {"gauge": GAUGE, "counter": COUNTER, "state": STATE}
"""The kinds of the contract; any other is taken for a gauge."""


class Observations(NamedTuple):
    """Of each row, shape (rows,): the value to judge, 0 where there is none.

    `rated`: the rows, by number, whose rate is looked at; `idle`: those that have no value, ascending.
    """

    values: NDArray[np.float64]
    rated: NDArray[np.int64]
    idle: NDArray[np.int64]


def observe(
    kind: NDArray[np.uint8],
    means: NDArray[np.float64],
    last: NDArray[np.float64],
    previous: NDArray[np.float64],
    elapsed_ms: NDArray[np.int64],
) -> Observations:
    """Gauges: the window's mean. Counters: growth per second since the window before, which is NaN when there is none."""
    rated, idle = where(is_rated(kind)), where(kind == STATE)
    if not rated.size and not idle.size:
        return Observations(means, rated, idle)
    values, growth = means.copy(), last[rated] - previous[rated]
    values[rated] = growth / elapsed_ms[rated] * 1000.0
    idle = np.sort(np.concatenate([idle, rated[~(growth >= 0)]]))
    values[idle] = 0.0
    return Observations(values, rated, idle)


def is_rated(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the series' rate is looked at instead of its mean."""
    rated: NDArray[np.bool_] = (kind == COUNTER) | (kind == GROWING)
    return rated


def is_growing(
    kind: NDArray[np.uint8], rises: NDArray[np.uint8], falls: NDArray[np.uint8], windows: int
) -> NDArray[np.bool_]:
    """Which gauges rose in more than half of their first `windows` windows and never fell."""
    growing: NDArray[np.bool_] = (kind == GAUGE) & (falls == 0) & (rises > windows // 2)
    return growing
