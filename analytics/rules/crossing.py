"""When a line that is known with an error reaches a bound, at the earliest and at the latest; vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ROUNDING = 1e-7
_ENDLESS = 1e15


class Sure(NamedTuple):
    """Lines and their error, shape (rows,) each: t seconds from now the value is `level + slope t`.

    Its standard error is then sqrt(`base` + `growth` (t + `age`)²); so long ago (s) as `age` says the line is known best.
    """

    level: Floats
    slope: Floats
    base: Floats
    growth: Floats
    age: Floats

    def ahead(self, t: float) -> tuple[Floats, Floats]:
        """The value in t seconds, and its standard error; shape (rows,) each."""
        away = self.age + t
        return self.level + self.slope * t, np.sqrt(self.base + self.growth * away * away)


def interval(line: Sure, bound: float, errors: float) -> tuple[Floats, Floats]:
    """Seconds until the line with so many standard errors added, and taken away, reaches `bound` from below; shape (rows,) each.

    0 when it has already, infinite when it never does. These are the ends of Fieller's interval (Fieller 1954; Draper and Smith,
    Applied Regression Analysis, on inverse regression), cut at now.
    """
    short = bound - line.level
    roots, error = _where_error_is_the_rest(line, short, errors), errors * line.ahead(0.0)[1]
    rest = short - line.slope * roots
    slack = _ROUNDING * (np.abs(short) + np.abs(line.level))
    # With the error added the line is at the bound before it is there itself, without it afterwards.
    earliest = np.where((roots > 0) & (rest >= -slack), roots, np.inf).min(axis=0)
    latest = np.where((roots > 0) & (rest <= slack), roots, np.inf).min(axis=0)
    return np.where(error >= short, 0.0, earliest), np.where(-error >= short, 0.0, latest)


def _where_error_is_the_rest(line: Sure, short: Floats, errors: float) -> Floats:
    """Both solutions of (short - slope t)² = the squared error at t, that is a t² - 2 b t + c = 0; 0 without; shape (2, rows)."""
    base, growth = errors * errors * line.base, errors * errors * line.growth
    a = line.slope * line.slope - growth
    b = line.slope * short + growth * line.age
    c = short * short - base - growth * line.age * line.age
    # A slope beyond doubt has both: what is below 0 there is rounding.
    apart = np.where(a > 0, np.maximum(b * b - a * c, 0.0), b * b - a * c)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Not b - …, which of numbers that are nearly alike leaves little.
        far = b + np.copysign(np.sqrt(apart), b)
        both = np.stack([far / a, c / far])
    return np.where(np.abs(both) < _ENDLESS, both, 0.0)
