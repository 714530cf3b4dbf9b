"""How rare a distance of a device's metrics is: by the pooled tail of its class, or by the device's own past."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from analytics.calibrate import BINS, Tail, bins_of, fit_tail, probability_per_test, quantile, tail_rarity
from analytics.detect.merge import STRIDE
from analytics.detect.pools import MOST_POINTS, POOLED_SERIES, REFIT_GROWTH

LEAST_POINTS = 5000
"""A pool of fewer windows does not speak; of one device's one in `STRIDE` is pooled, since neighbours say nearly the same."""


class JointPool(msgspec.Struct):
    """Of devices of one class, tenant and window width (ms): a device counts as one series.

    `rate`: false alerts asked for, per 1,000 series and day. `left_at` (ms): when a device was dropped from it last.
    """

    rate: float
    width: int
    members: int = 0
    left_at: int = 0
    points: int = 0
    fitted_at: int = 0
    tail: Tail | None = None
    counts: bytes = bytes(8 * BINS)

    @property
    def asked_rarity(self) -> float:
        """Minus the logarithm of the probability that the rate allows for a window."""
        return -math.log(self.asked_probability)

    @property
    def asked_probability(self) -> float:
        """What the rate allows for a window."""
        return probability_per_test(self.rate, self.width)

    @property
    def is_alone(self) -> bool:
        """Fewer than five devices are no class: what they have in common may be chance."""
        return self.members < POOLED_SERIES

    @property
    def enter(self) -> float:
        """The surprise that it takes to alarm; infinite where neither a pool nor a past of its own may speak."""
        if self.is_alone:
            return 2.0 * self.asked_rarity
        return math.inf if self.tail is None else quantile(self.tail, self.asked_probability)

    def rarity(self, surprise: float) -> float:
        """Minus the logarithm of how probable such a surprise is.

        Of one device alone it is half of the surprise, as if scores, sums of logarithms, were normal: a bold assumption.
        """
        if self.is_alone:
            return surprise / 2.0
        return 0.0 if self.tail is None else max(0.0, float(tail_rarity(self.tail, np.array([surprise]))[0]))

    def add(self, seen: int, surprise: float) -> None:
        """Pool a window of a device that has seen so many; refit when the pool has grown."""
        if seen % STRIDE:
            return
        counts = np.frombuffer(self.counts, np.int64).copy()
        counts[bins_of(np.array([surprise], np.float32))[0]] += 1
        self.points += 1
        if not self.is_alone and self.points >= max(LEAST_POINTS, self.fitted_at * (1 + REFIT_GROWTH)):
            self.tail = fit_tail(counts)
            if self.points >= MOST_POINTS:
                counts //= 2
                self.points = int(counts.sum())
            self.fitted_at = self.points
        self.counts = counts.tobytes()
