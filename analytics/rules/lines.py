"""Where series are heading: a line through each one's recent past, and how sure its continuation is; vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.rules.conditions import Judgement
from analytics.rules.crossing import Sure, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.rules.kinds import Forecast

    Floats = NDArray[np.float64]
    Series = NDArray[np.int32]

CERTAINTY = 3.0
"""The line's own error times this is kept from the bound: what is said then is no accident of the noise."""

COVERED = 0.98
"""Of lines at any one time, at least this share have an interval that holds the time at which the bound is reached.

Measured, for noise that is independent from window to window.
"""

CORRELATED = 2.6
"""Medians of three neighbours are alike: the error of their mean is that of so many times fewer independent values.

1 + 2 r1 + 2 r2 of their autocorrelations: 2.58 (Laplace) to 2.65 (uniform), whatever the noise.
"""

LEAST_SHARE = 0.25
"""Of the time that a line looks back, so much must have been seen before anything is said."""

LEAST_WEIGHT = 8.0
MOST_SPANS = 10.0
"""Times until the bound are told up to so many times the time ahead."""

_FIRST = 256
_LEAST_SPREAD = 1e-6
_NONE = np.int32(-1)
# began, at (s); weight, means of time and value, (co)variances as sums; the two values before.
_BEGAN, _AT, _WEIGHT, _MEAN_T, _MEAN_Y, _TT, _TY, _YY, _LAST, _BEFORE = range(10)


class Lines:
    """One rule's lines: least squares whose weights fall by e with each `over`, through medians of three windows.

    A single window that is far off moves nothing. Only series that the rule is about have a line.
    """

    def __init__(self, rule: Forecast) -> None:
        self._rule = rule
        # A bound from below is one from above of what is turned over.
        self._sign = 1.0 if rule.above is not None else -1.0
        self._slot = np.zeros(0, np.int32)
        self._state = np.zeros((10, _FIRST))
        self._used = 0

    def grow_to(self, size: int) -> None:
        """Room for so many series."""
        if size > len(self._slot):
            self._slot = np.concatenate([self._slot, np.full(size - len(self._slot), _NONE)])

    def keep(self, kept: NDArray[np.int64]) -> None:
        """Only these series go on, under new numbers."""
        slot = self._slot[kept]
        lined = np.flatnonzero(slot != _NONE)
        state = self._state[:, slot[lined]]
        self._slot, self._used = np.full(len(kept), _NONE), 0
        self._place(lined.astype(np.int64), state)

    def judge(
        self, series: Series, end: NDArray[np.int64], value: Floats, watched: NDArray[np.bool_] | None
    ) -> Judgement:
        """Take one window of each series and judge its line, shape (rows,). `value` is the time until the bound, in seconds.

        NaN for a window that is no finite number: it moves no line.
        """
        finite = np.isfinite(value)
        rows = np.flatnonzero(finite if watched is None else finite & watched)
        state = advanced(
            self._of(series[rows], end[rows] / 1000), end[rows] / 1000, self._sign * value[rows], self._rule.over_s
        )
        self._state[:, self._slot[series[rows]]] = state
        left, enter, leave = np.where(finite, np.inf, np.nan), *np.zeros((2, len(series)), np.bool_)
        left[rows], enter[rows], leave[rows] = self._judged(state)
        return Judgement(np.clip(left, 0.0, MOST_SPANS * self._rule.within_s), enter, leave)

    def between(self, series: Series) -> list[tuple[float, float] | None]:
        """By series: after how many seconds it reaches the bound, at the earliest and at the latest; None without a line.

        A latest time that is too far off to be told is infinite.
        """
        slot, most = self._slot[series], MOST_SPANS * self._rule.within_s
        lined = slot != _NONE
        earliest, latest = interval(sure(self._state[:, slot[lined]]), self._sign * self._rule.bound, CERTAINTY)
        ends = zip(np.minimum(earliest, most).tolist(), np.where(latest > most, np.inf, latest).tolist(), strict=True)
        return [next(ends) if known else None for known in lined.tolist()]

    def dump(self) -> bytes:
        """As MessagePack."""
        lined = np.flatnonzero(self._slot != _NONE)
        return msgspec.msgpack.encode((lined.tobytes(), self._state[:, self._slot[lined]].tobytes()))

    def load(self, dumped: bytes, size: int) -> None:
        """Continue from a dump, with so many series."""
        lined, state = msgspec.msgpack.decode(dumped, type=tuple[bytes, bytes])
        self._slot, self._used = np.full(size, _NONE), 0
        self._place(np.frombuffer(lined, np.int64), np.frombuffer(state, np.float64).reshape(10, -1))

    def _judged(self, state: Floats) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        rule = self._rule
        bound, leave = self._sign * rule.bound, self._sign * (rule.bound if rule.leave is None else rule.leave)
        line = sure(state)
        (ahead, error), level, slope = line.ahead(rule.within_s), line.level, line.slope
        seen = (state[_AT] - state[_BEGAN] >= LEAST_SHARE * rule.over_s) & (state[_WEIGHT] >= LEAST_WEIGHT)
        left = np.divide(bound - level, slope, out=np.full(len(slope), np.inf), where=slope > 0)
        return np.where(level >= bound, 0.0, left), seen & (ahead - CERTAINTY * error > bound), seen & (ahead <= leave)

    def _of(self, series: Series, at: Floats) -> Floats:
        fresh = np.flatnonzero(self._slot[series] == _NONE)
        if fresh.size:
            state = np.zeros((10, len(fresh)))
            state[_BEGAN] = state[_AT] = state[_MEAN_T] = at[fresh]
            state[_LAST] = state[_BEFORE] = np.nan
            self._place(series[fresh].astype(np.int64), state)
        return self._state[:, self._slot[series]]

    def _place(self, series: NDArray[np.int64], state: Floats) -> None:
        first, self._used = self._used, self._used + len(series)
        if self._used > self._state.shape[1]:
            room = max(self._used, 2 * self._state.shape[1]) - self._state.shape[1]
            self._state = np.concatenate([self._state, np.zeros((10, room))], axis=1)
        self._state[:, first : self._used] = state
        self._slot[series] = np.arange(first, self._used, dtype=np.int32)


def advanced(state: Floats, at: Floats, value: Floats, over_s: float) -> Floats:
    """Lines one window on, shape (10, rows): exponentially weighted sums, updated as by West (1979)."""
    after = np.empty_like(state)
    y = _median_of_three(value, state[_LAST], state[_BEFORE])
    # On its way up or down the median is that of the window in the middle.
    t = np.where(np.isnan(state[_BEFORE]), at, state[_AT])
    fading = np.exp(-np.maximum(at - state[_AT], 0.0) / over_s)
    before = state[_WEIGHT] * fading
    weight = before + 1.0
    dt, dy = t - state[_MEAN_T], y - state[_MEAN_Y]
    share = before / weight
    after[_BEGAN], after[_AT], after[_WEIGHT] = state[_BEGAN], at, weight
    after[_MEAN_T], after[_MEAN_Y] = state[_MEAN_T] + dt / weight, state[_MEAN_Y] + dy / weight
    after[_TT] = state[_TT] * fading + dt * dt * share
    after[_TY] = state[_TY] * fading + dt * dy * share
    after[_YY] = state[_YY] * fading + dy * dy * share
    after[_LAST], after[_BEFORE] = value, state[_LAST]
    return after


def sure(state: Floats) -> Sure:
    """The lines seen from their newest window, with the error of weighted least squares through correlated values."""
    spread = np.maximum(state[_TT], _LEAST_SPREAD)
    slope, age = state[_TY] / spread, state[_AT] - state[_MEAN_T]
    rest = np.maximum(state[_YY] - slope * state[_TY], 0.0) / np.maximum(state[_WEIGHT] - 2.0 * CORRELATED, 1.0)
    variance = CORRELATED * rest
    return Sure(state[_MEAN_Y] + slope * age, slope, variance / state[_WEIGHT], variance / spread, age)


def _median_of_three(value: Floats, last: Floats, before: Floats) -> Floats:
    median = np.maximum(np.minimum(value, last), np.minimum(np.maximum(value, last), before))
    return np.where(np.isnan(before), value, median)
