"""How often a token may ask: a bucket of permissions for each that fills as time goes by.

Answers say what is left in the fields of draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` and `RateLimit`.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Allowance(NamedTuple):
    """What became of a request: whether it may be answered, what is left, and how long until there is more (whole seconds)."""

    granted: bool
    left: int
    wait_s: int


class RateLimit:
    """`per_second` requests of each name, `burst` at once. There are as many buckets as names: tokens are few."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self.burst = per_second, burst
        self._buckets: dict[str, tuple[float, float]] = {}
        self.policy = f'"token";q={burst};w={max(1, math.ceil(burst / per_second))}'

    def take(self, name: str, now: float) -> Allowance:
        """One request at `now` (monotonic s)."""
        left, since = self._buckets.get(name, (float(self.burst), now))
        left = min(float(self.burst), left + (now - since) * self._per_second)
        granted = left >= 1.0
        left -= granted
        self._buckets[name] = (left, now)
        wait_s = 0 if left >= 1.0 else max(1, math.ceil((1.0 - left) / self._per_second))
        return Allowance(granted, int(left), wait_s)
