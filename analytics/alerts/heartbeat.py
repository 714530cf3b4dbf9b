"""A dead man's switch: somebody outside is told again and again that alerts are taken and delivered, until they are not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from analytics.alerts.http import Post, Trust
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.alerts.network import Network
    from analytics.alerts.receiver_config import HeartbeatConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health


class Heartbeat:
    """`is_alive` says whether there is anything to be told: when not, nothing is sent, and that is the alarm."""

    name = "alert heartbeat"

    def __init__(
        self, config: HeartbeatConfig, is_alive: Callable[[], bool], *, clock: Clock, health: Health, network: Network
    ) -> None:
        self._config, self._is_alive, self._clock, self._health = config, is_alive, clock, health
        self._post = Post(config.timeout_s, clock, network, Trust(config.ca_file, config.proxy))
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Send no more."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained."""
        try:
            while not self._draining.is_set():
                if self._is_alive():
                    await self._beat()
                await self._pause()
        finally:
            await self._post.close()

    async def _beat(self) -> None:
        try:
            await self._post(self._config.url, b"{}", {"Content-Type": "application/json"})
        except (TemporarilyRefusedError, PermanentlyRefusedError) as error:
            self._health.waiting(self.name, str(error))
        else:
            self._health.ready(self.name)

    async def _pause(self) -> None:
        waiting = {
            asyncio.create_task(self._draining.wait()),
            asyncio.create_task(self._clock.sleep(self._config.every_s)),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
