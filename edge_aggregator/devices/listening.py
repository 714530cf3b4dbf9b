"""For how long devices could be heard: the clock by which leases run."""

from __future__ import annotations


class Listening:
    """Adds up the time in which the receivers were connected; monotonic seconds go in, seconds come out."""

    def __init__(self, monotonic: float) -> None:
        self._asked, self.total = monotonic, 0.0

    def advance(self, monotonic: float, connected_since: float | None) -> float:
        """Seconds listened up to now; while cut off (None) the clock stands still."""
        if connected_since is not None:
            self.total += max(0.0, monotonic - max(self._asked, connected_since))
        self._asked = monotonic
        return self.total
