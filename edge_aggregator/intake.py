"""Between the receivers and the journal: arrivals in order, bounded in bytes, with the moment at which to commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.decode.decoder import Taken

if TYPE_CHECKING:
    from edge_aggregator.receive.port import Arrival
    from ingest.runtime.clock import Clock

_ARRIVAL_BYTES = 256
"""What an arrival costs beside its messages."""

MOST_TRIGGERS = 4
"""A commit takes so many times what makes one due, at the most: whoever waits for it must not wait for all that came since."""


class EdgeIntake:
    """The Intake that all receivers of a gateway share. `most_bytes` bounds what waits or is being committed.

    A commit is due after `interval_s`, at `commit_bytes`, at about `commit_samples`, or when a sender waits for it. How
    many samples wait is judged by how many the messages of the last commit had.
    """

    def __init__(
        self, clock: Clock, *, most_bytes: int, commit_bytes: int, commit_samples: int, interval_s: float
    ) -> None:
        self._clock = clock
        self.configure(
            most_bytes=most_bytes, commit_bytes=commit_bytes, commit_samples=commit_samples, interval_s=interval_s
        )
        self._messages = self._held_messages = 0
        self._samples_each = 1.0
        self._waiting: list[tuple[int, Arrival]] = []
        self._bytes = self._held = 0
        self._since = 0.0
        self._full = False
        self._room = asyncio.Event()
        self._room.set()
        self.work = asyncio.Event()
        """Set when there is something to wait for anew: a first arrival, or reason to commit at once."""
        self.messages: Counter[str] = Counter()
        """Messages by receiver since the last look."""

    def configure(self, *, most_bytes: int, commit_bytes: int, commit_samples: int, interval_s: float) -> None:
        """Other bounds from now on."""
        self._most_bytes, self._commit_bytes = most_bytes, commit_bytes
        self._commit_samples, self._interval_s = commit_samples, interval_s

    def offer(self, arrival: Arrival) -> None:
        """Take an arrival; never blocks."""
        if not self._waiting:
            self._since = self._clock.monotonic()
            self.work.set()
        self._waiting.append((self._clock.now_ms(), arrival))
        self._bytes += arrival.size + _ARRIVAL_BYTES
        self.messages[arrival.receiver] += len(arrival.messages) + len(arrival.oversized)
        self._messages += len(arrival.messages)
        if arrival.window_full or self._bytes >= self._commit_bytes or self._many():
            self._full = True
            self.work.set()
        if not self.has_room():
            self._room.clear()

    def has_room(self) -> bool:
        """Whether more may be read."""
        return self._bytes + self._held < self._most_bytes

    async def wait_for_room(self) -> None:
        """Return as soon as there is room again."""
        await self._room.wait()

    def oldest(self) -> int | None:
        """When the oldest arrival came that is not being committed (ms)."""
        return self._waiting[0][0] if self._waiting else None

    def due_in(self) -> float | None:
        """Seconds until a commit is due, 0 when it is; None when nothing waits."""
        if not self._waiting:
            return None
        return 0.0 if self._full else max(0.0, self._since + self._interval_s - self._clock.monotonic())

    def take(self) -> list[tuple[int, Arrival]]:
        """What waits, the oldest first and not too much at once; it goes on taking room until `release`."""
        count, self._held, self._held_messages = self._share()
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= self._held
        self._messages -= self._held_messages
        self._full = bool(self._waiting)
        return taken

    def release(self, samples: int) -> None:
        """What was taken is committed: so many samples."""
        self._held = 0
        self._samples_each = samples / max(1, self._held_messages)
        self._room.set()

    def _share(self) -> tuple[int, int, int]:
        # Arrivals, bytes and messages of the next commit.
        most_bytes = MOST_TRIGGERS * self._commit_bytes
        most_messages = MOST_TRIGGERS * self._commit_samples / max(self._samples_each, 1.0)
        if self._bytes <= most_bytes and self._messages <= most_messages:
            return len(self._waiting), self._bytes, self._messages
        size = messages = 0
        for count, (_, arrival) in enumerate(self._waiting):
            if size >= most_bytes or messages >= most_messages:
                return count, size, messages
            size += arrival.size + _ARRIVAL_BYTES
            messages += len(arrival.messages)
        return len(self._waiting), size, messages

    def _many(self) -> bool:
        return self._messages * self._samples_each >= self._commit_samples


def as_taken(arrivals: list[tuple[int, Arrival]]) -> list[Taken]:
    """Arrivals as decoding wants them."""
    return [Taken(at, arrival.messages, arrival.oversized) for at, arrival in arrivals]
