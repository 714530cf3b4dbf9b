"""What a series usually is at this hour of the week: one byte a slot, in steps of its range; no period is preset.

The week is the sum of an hour of the day and of a quarter of a day of the week: 24 + 28 slots, each of which is learned
from the hours that fall into it (least mean squares, Widrow and Hoff 1960). An hour's mean is added when the hour is over,
so that a row costs nothing but a sum. In a series without a daily or weekly pattern the profile is about its mean, and does
no harm: what is looked at (`signals.py`) is how unusual the distance from it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY = 24
WEEK = 168
QUARTER = 6
"""Hours that share a slot of the week."""
SLOTS = DAY + WEEK // QUARTER
UNKNOWN = 255
STEPS = 254.0
"""A range has so many steps, numbered from 0."""
DAY_WEIGHT = 0.2
WEEK_WEIGHT = 0.1
MARGIN = 0.25
"""Of its width: by so much more than it must does a range grow on either side, so that codes last."""


class Coded(NamedTuple):
    """Profiles: `codes` u1 (SLOTS, rows), hours of the day from `low`, quarters of the week around 0; f4 (rows,)."""

    codes: NDArray[np.uint8]
    low: NDArray[np.float32]
    width: NDArray[np.float32]


def slots_of(hours: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The slot of the day and that of the week of each hour since the epoch, shape (rows,) each."""
    return hours % DAY, DAY + hours % WEEK // QUARTER


def expect(known: Coded, hours: NDArray[np.int64]) -> NDArray[np.float32]:
    """What each row is expected to be in this hour: NaN while the hour of the day is unknown; shape (rows,)."""
    row, (day, week) = np.arange(len(hours)), slots_of(hours)
    of_day, of_week = known.codes[day, row], known.codes[week, row]
    expected = known.low + _above(of_day, known.width) + _around(of_week, known.width)
    return np.where(of_day == UNKNOWN, np.float32(np.nan), expected)


def add_hour(known: Coded, hours: NDArray[np.int64], means: NDArray[np.float32]) -> Coded:
    """The profiles with the means of these hours; `known.codes` is changed in place."""
    known = _widen(known, means)
    row, (day, week) = np.arange(len(hours)), slots_of(hours)
    of_day, of_week = known.codes[day, row], known.codes[week, row]
    base, offset = known.low + _above(of_day, known.width), _around(of_week, known.width)
    away = means - base - offset
    first = of_day == UNKNOWN
    base = np.where(first, means - offset, base + np.float32(DAY_WEIGHT) * away).astype(np.float32)
    offset = np.where(first, offset, offset + np.float32(WEEK_WEIGHT) * away)
    known.codes[day, row] = _code((base - known.low).astype(np.float32), known.width)
    known.codes[week, row] = _code((offset + known.width / 2).astype(np.float32), known.width)
    return known


def _widen(known: Coded, means: NDArray[np.float32]) -> Coded:
    # A range always covers the hours that were; it grows by more than it must, so that codes are seldom rewritten.
    high = known.low + known.width
    outside = np.flatnonzero((means < known.low) | (means > high) | (known.width == 0))
    if not outside.size:
        return known
    empty = (known.codes[:DAY, outside] == UNKNOWN).all(axis=0)
    least = np.where(empty, means[outside], np.minimum(known.low[outside], means[outside]))
    most = np.where(empty, means[outside], np.maximum(high[outside], means[outside]))
    margin = np.maximum(np.float32(MARGIN) * (most - least), np.float32(1e-6) * np.abs(most) + np.float32(1e-9))
    low, width = known.low.copy(), known.width.copy()
    low[outside], width[outside] = least - margin, most - least + 2 * margin
    before, codes = Coded(known.codes[:, outside], known.low[outside], known.width[outside]), known.codes
    days, weeks = before.codes[:DAY], before.codes[DAY:]
    moved = before.low + _above(days, before.width) - low[outside]
    of_day = _code(moved.astype(np.float32), width[outside])
    moved = _around(weeks, before.width) + width[outside] / 2
    of_week = _code(moved.astype(np.float32), width[outside])
    codes[:DAY, outside] = np.where(days == UNKNOWN, np.uint8(UNKNOWN), of_day)
    codes[DAY:, outside] = np.where(weeks == UNKNOWN, np.uint8(UNKNOWN), of_week)
    return Coded(codes, low, width)


def _above(codes: NDArray[np.uint8], width: NDArray[np.float32]) -> NDArray[np.float32]:
    return codes.astype(np.float32) * (width / np.float32(STEPS))


def _around(codes: NDArray[np.uint8], width: NDArray[np.float32]) -> NDArray[np.float32]:
    around = _above(codes, width) - width / np.float32(2.0)
    return np.where(codes == UNKNOWN, np.float32(0.0), around)


def _code(above: NDArray[np.float32], width: NDArray[np.float32]) -> NDArray[np.uint8]:
    steps = above / np.maximum(width, np.finfo(np.float32).tiny) * np.float32(STEPS)
    return np.rint(np.clip(steps, 0.0, STEPS)).astype(np.uint8)
