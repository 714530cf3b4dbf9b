"""Time as a port: the only place that reads the machine's clocks."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until it is told: for tests and replays."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start = self._now = now_ms
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return (self._now - self._start) / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the clock that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.monotonic() + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        """Move on and wake who has waited long enough."""
        self._now += round(seconds * 1000)
        due = [future for at, future in self._sleepers if at <= self.monotonic()]
        self._sleepers = [(at, future) for at, future in self._sleepers if at > self.monotonic()]
        for future in due:
            if not future.done():
                future.set_result(None)
