"""The one thread in which the outbox touches its file, so that no disk ever holds up the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.alerts.outbox import Outbox

T = TypeVar("T")


class OutboxThread:
    """Runs functions of an outbox, one after the other."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alerts outbox")

    async def run(self, function: Callable[[Outbox], T]) -> T:
        """The function's result. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, self._outbox)

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        await self.run(lambda outbox: outbox.close())
        self._executor.shutdown(wait=False)
