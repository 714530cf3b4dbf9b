"""Waking those who wait for the embedded log to change, by this process or by another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOOK_EVERY_S = 0.05
"""How often it is asked whether another process wrote; what this process writes wakes at once."""


class Changes:
    """A counter of changes that can be waited on; `look` returns a number that differs once another process wrote."""

    def __init__(self, look: Callable[[], Awaitable[int]]) -> None:
        self._look = look
        self._found = -1
        self._looked_at = 0.0
        self._event = asyncio.Event()
        self.count = 0

    def notify(self) -> None:
        """This process changed something."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seen: int, timeout_s: float) -> None:
        """Until `count` is no longer `seen`, at most `timeout_s`."""
        now = asyncio.get_running_loop().time
        deadline = now() + timeout_s
        while self.count == seen and (left := deadline - now()) > 0:
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY_S)):
                    await self._event.wait()
            except TimeoutError:
                await self._look_again(now())

    async def _look_again(self, now: float) -> None:
        # One look serves everybody who waits.
        if now - self._looked_at < LOOK_EVERY_S / 2:
            return
        self._looked_at = now
        found = await self._look()
        if found != self._found:
            self._found = found
            self.notify()
