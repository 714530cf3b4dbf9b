"""What a textbook offers for watching a number: six charts over whole columns, each a score that a threshold cuts.

All get a counter's growth instead of its value, and `least`, the smallest scale that a series is taken to have, so that
no constant divides by zero. None learns while it alarms or otherwise defends itself: these are the textbook's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Scores = NDArray[np.float32]
    Bools = NDArray[np.bool_]

HOUR = 60
REFRESH = 10
EWMA_WEIGHT = 0.2
CUSUM_SLACK = 0.5


class Pick(Protocol):
    """A score for each series and window, higher where it is stranger; -inf where it has nothing to say."""

    def step(self, values: Floats, present: Bools) -> Scores:
        """Values and presence of one window, any shape, the same in each call."""


class RollingZ:
    """`abs(x - avg_over_time(x[1h] offset 1m)) / stddev_over_time(x[1h] offset 1m)`, as Prometheus' users write it."""

    def __init__(self, least: Floats, _phase_one: int) -> None:
        self._least, self._seen = least, 0
        self._ring = np.full((HOUR, *least.shape), np.nan, np.float32)
        self._centre = np.zeros(least.shape)
        self._count, self._sum, self._squares = (np.zeros(least.shape) for _ in range(3))

    def step(self, values: Floats, present: Bools) -> Scores:
        """See `Pick`."""
        if self._seen == 0:
            self._centre = values.copy()
        moved = np.where(present, values - self._centre, np.nan).astype(np.float32)
        enough = self._count >= HOUR // 2
        mean = self._sum / np.maximum(self._count, 1)
        spread = np.sqrt(np.maximum(self._squares / np.maximum(self._count, 1) - mean**2, 0))
        score = np.abs(moved - mean) / np.maximum(spread, self._least)
        slot = self._seen % HOUR
        for number, sign in ((self._ring[slot], -1.0), (moved, 1.0)):
            known = ~np.isnan(number)
            filled = np.where(known, number, 0.0).astype(np.float64)
            self._count += sign * known
            self._sum += sign * filled
            self._squares += sign * filled**2
        self._ring[slot] = moved
        self._seen += 1
        return _where(present & enough, score)


class RollingMedian:
    """Shewhart's individuals chart on median and MAD (times 1.4826) of an hour, renewed every ten minutes."""

    def __init__(self, least: Floats, _phase_one: int) -> None:
        self._least, self._seen = least, 0
        self._ring = np.zeros((HOUR, *least.shape), np.float64)
        self._middle, self._spread = np.zeros(least.shape), np.zeros(least.shape)
        self._last = np.zeros(least.shape)

    def step(self, values: Floats, present: Bools) -> Scores:
        """See `Pick`."""
        if self._seen >= HOUR and self._seen % REFRESH == 0:
            self._middle = np.median(self._ring, axis=0)
            self._spread = 1.4826 * np.median(np.abs(self._ring - self._middle), axis=0)
        self._last = np.where(present, values, self._last)
        self._ring[self._seen % HOUR] = self._last
        self._seen += 1
        score = np.abs(values - self._middle) / np.maximum(self._spread, self._least)
        return _where(present & (self._seen > HOUR + REFRESH), score)


class _PhaseOne:
    """Mean and standard deviation of the first windows, for charts that are set up once (Welford 1962)."""

    def __init__(self, least: Floats, windows: int) -> None:
        self._least, self._windows, self._seen = least, windows, 0
        self._mean, self._squares, self._count = (np.zeros(least.shape) for _ in range(3))

    def standardised(self, values: Floats, present: Bools) -> Floats | None:
        """Values in standard deviations from the mean; none while the chart is being set up."""
        self._seen += 1
        if self._seen > self._windows:
            spread = np.sqrt(self._squares / np.maximum(self._count - 1, 1))
            return np.where(present, (values - self._mean) / np.maximum(spread, self._least), 0.0)
        self._count += present
        moved = np.where(present, values - self._mean, 0.0)
        self._mean += moved / np.maximum(self._count, 1)
        self._squares += moved * np.where(present, values - self._mean, 0.0)
        return None


class EwmaChart:
    """Roberts' chart (1959), weight 0.2, limits from the first day."""

    def __init__(self, least: Floats, phase_one: int) -> None:
        self._phase_one = _PhaseOne(least, phase_one)
        self._smoothed = np.zeros(least.shape)

    def step(self, values: Floats, present: Bools) -> Scores:
        """See `Pick`."""
        moved = self._phase_one.standardised(values, present)
        if moved is None:
            return _nothing(values)
        self._smoothed += np.where(present, EWMA_WEIGHT * (moved - self._smoothed), 0.0)
        return _where(present, np.abs(self._smoothed) / np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT)))


class Cusum:
    """Page's two-sided chart (1954), slack half a standard deviation, set up on the first day."""

    def __init__(self, least: Floats, phase_one: int) -> None:
        self._phase_one = _PhaseOne(least, phase_one)
        self._up, self._down = np.zeros(least.shape), np.zeros(least.shape)

    def step(self, values: Floats, present: Bools) -> Scores:
        """See `Pick`."""
        moved = self._phase_one.standardised(values, present)
        if moved is None:
            return _nothing(values)
        slack = np.where(present, CUSUM_SLACK, 0.0)
        self._up = np.maximum(0.0, self._up + moved - slack)
        self._down = np.maximum(0.0, self._down - moved - slack)
        return _where(present, np.maximum(self._up, self._down))


class Absent:
    """`absent_over_time`: for how many windows nothing has come."""

    def __init__(self, least: Floats, _phase_one: int) -> None:
        self._windows = np.zeros(least.shape, np.float32)

    def step(self, values: Floats, present: Bools) -> Scores:  # noqa: ARG002 - only whether there are any
        """See `Pick`."""
        self._windows = np.where(present, 0, self._windows + 1).astype(np.float32)
        return self._windows


class Unchanged:
    """`changes(x[..]) == 0`: for how many windows the value has been the same."""

    def __init__(self, least: Floats, _phase_one: int) -> None:
        self._windows = np.zeros(least.shape, np.float32)
        self._last = np.full(least.shape, np.nan)

    def step(self, values: Floats, present: Bools) -> Scores:
        """See `Pick`."""
        same = self._windows + (values == self._last)
        self._windows = np.where(present, np.where(values == self._last, same, 0), self._windows).astype(np.float32)
        self._last = np.where(present, values, self._last)
        return _where(present, self._windows)


PICKS: dict[str, Callable[[Floats, int], Pick]] = {
    "prometheus_z": RollingZ,
    "shewhart_mad": RollingMedian,
    "ewma_chart": EwmaChart,
    "cusum": Cusum,
    "absent": Absent,
    "unchanged": Unchanged,
}
"""Made with `least` and the windows of the charts' first phase."""


def _nothing(values: Floats) -> Scores:
    return np.full(values.shape, -np.inf, np.float32)


def _where(known: Bools, score: NDArray[Any]) -> Scores:
    return np.where(known, score, -np.inf).astype(np.float32)
