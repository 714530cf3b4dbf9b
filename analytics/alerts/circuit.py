"""A receiver that fails again and again is left alone for longer and longer, and tried with one group at a time."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.runtime.backoff import Backoff

OPENS_AFTER = 5
"""Failures in a row, of whatever groups."""


class CircuitState(StrEnum):
    """How a receiver is treated."""

    CLOSED = "closed"
    OPEN = "open"  # it failed too often: nothing is sent until its pause is over
    TRYING = "trying"  # one group finds out whether it is back


class Circuit:
    """State and pauses of one receiver; times are the caller's."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff, self.failures, self._until = backoff, 0, 0.0

    def failed(self, now: float, retry_after_s: float) -> float:
        """A try failed at `now` (s, monotonic): how long to leave the receiver alone, with jitter, Retry-After honoured."""
        self.failures += 1
        pause = max(self._backoff.next(), retry_after_s)
        self._until = now + pause
        return pause

    def went_well(self) -> None:
        """A try went well, or was answered at least."""
        self.failures, self._until = 0, 0.0
        self._backoff.reset()

    def state(self, now: float) -> CircuitState:
        """As of now."""
        if self.failures < OPENS_AFTER:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self._until else CircuitState.TRYING
