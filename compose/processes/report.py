"""What a process says of itself on stderr: where it listens, and when it begins or ceases to wait for something."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health

LOOK_S = 1.0


class Report:
    """A service that prints `introduction()` once every one of `started` is set, then changes of readiness."""

    name = "report"

    def __init__(
        self, started: Sequence[asyncio.Event], introduction: Callable[[], str], *, clock: Clock, health: Health
    ) -> None:
        self._started, self._introduction = started, introduction
        self._clock, self._health = clock, health
        self._waiting: set[str] = set()
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Return from `run`."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained."""
        talking = asyncio.create_task(self._talk())
        await self._draining.wait()
        talking.cancel()
        say("stopping: finishing what was taken")

    async def _talk(self) -> None:
        await asyncio.gather(*(event.wait() for event in self._started))
        say(self._introduction())
        while True:
            await self._clock.sleep(LOOK_S)
            self._compare(self._health.reasons())

    def _compare(self, reasons: dict[str, str]) -> None:
        # A part is named when it begins to wait and when it is done; its reason may change many times meanwhile.
        for part in sorted(reasons.keys() - self._waiting):
            say(f"waiting: {part}: {reasons[part]}")
        for part in sorted(self._waiting - reasons.keys()):
            say(f"ready again: {part}")
        self._waiting = set(reasons)


def say(line: str) -> None:
    """One line for whoever watches."""
    print(f"tidegate: {line}", file=sys.stderr, flush=True)
