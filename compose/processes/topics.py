"""Creates the topics that are missing, as soon as the log answers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ingest.contract.topics import every_topic
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log


class TopicsService:
    """Done once at the start; central processes do it, gateways need no right to."""

    name = "topics"

    def __init__(self, log: Log, *, clock: Clock, health: Health) -> None:
        self._log, self._clock, self._health = log, clock, health
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Return from `run`."""
        self._draining.set()

    async def run(self) -> None:
        """Create, then rest until drained."""
        creating, draining = asyncio.create_task(self._create()), asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({creating, draining}, return_when=asyncio.FIRST_COMPLETED)
            if creating.done():
                await creating
            await draining
        finally:
            creating.cancel()
            draining.cancel()

    async def _create(self) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        while True:
            try:
                await self._log.ensure_topics(every_topic())
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
                await self._clock.sleep(backoff.next())
            else:
                self._health.ready(self.name)
                return
