"""How long to wait before the next try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Backoff:
    """Capped exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015)."""

    def __init__(self, random: random.Random, first_s: float = 0.1, most_s: float = 10.0) -> None:
        self._random, self._first_s, self._most_s = random, first_s, most_s
        self.tries = 0

    def next(self) -> float:
        """Seconds to wait now; at least a tenth of the step, so that no loop spins."""
        step = min(self._most_s, self._first_s * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return step * self._random.uniform(0.1, 1.0)

    def reset(self) -> None:
        """It went well: begin anew."""
        self.tries = 0
