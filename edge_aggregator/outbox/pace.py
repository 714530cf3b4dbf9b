"""How fast a backlog drains: as fast as the brokers take it, and never so that live data wait for it."""

from __future__ import annotations

LEAST_BYTES_PER_S = 16 * 1024
FIRST_BYTES_PER_S = 256 * 1024
STEP_BYTES_PER_S = 256 * 1024
TURN_S = 0.25
MOST_TURN_BYTES = 1024 * 1024


class Pace:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989), with a slow start that doubles.

    `rate` is in bytes per second, at most `most`. An append that takes longer than `patience_s`, or fails, halves it.
    """

    def __init__(self, *, most: float, patience_s: float) -> None:
        self._most, self._patience_s = most, patience_s
        self.rate = min(most, float(FIRST_BYTES_PER_S))
        self._starting = True

    def configure(self, *, most: float, patience_s: float) -> None:
        """Other bounds from now on."""
        self._most, self._patience_s = most, patience_s
        self.rate = min(self.rate, most)

    def turn_bytes(self) -> int:
        """How much to send at once: what waits behind it waits no longer than a fraction of a second."""
        return int(min(self.rate * TURN_S, MOST_TURN_BYTES))

    def sent(self, size: int, seconds: float) -> float:
        """An append of `size` bytes took so long; seconds to pause before the next one."""
        pause = max(0.0, size / self.rate - seconds)
        if seconds > self._patience_s:
            self.slow_down()
        else:
            faster = 2 * self.rate if self._starting else self.rate + STEP_BYTES_PER_S
            self.rate = min(self._most, faster)
        return pause

    def slow_down(self) -> None:
        """The brokers are slow, or away."""
        self._starting = False
        self.rate = max(min(self._most, LEAST_BYTES_PER_S), self.rate / 2)
