"""Commands on their last hop: published again and again, until the device answers or the command expires."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ingest.contract.topics import device_topic
from ingest.runtime.backoff import Backoff

if TYPE_CHECKING:
    from edge_aggregator.commands.table import Known
    from edge_aggregator.core import Core
    from edge_aggregator.receive.port import Downlink
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock

LOOK_S = 0.25
MOST_AT_ONCE = 64
MOST_PAUSE_S = 60.0
MOST_PAUSE_UNDELIVERED_S = 10.0


class _Attempts:
    """When one command may be published next: seldom once it was delivered, sooner while its device is away."""

    def __init__(self, first_s: float) -> None:
        jitter = random.Random()  # noqa: S311 - jitter, not a secret
        self._delivered = Backoff(jitter, first_s, MOST_PAUSE_S)
        self._undelivered = Backoff(jitter, first_s, MOST_PAUSE_UNDELIVERED_S)
        self.next = 0.0
        self.under_way = False

    def over(self, now: float, *, delivered: bool) -> None:
        """An attempt ended at `now` (monotonic s)."""
        self.next = now + (self._delivered if delivered else self._undelivered).next()
        self.under_way = False


class Publisher:
    """`published` counts attempts by outcome."""

    def __init__(
        self, core: Core, thread: OneThread, downlink: Downlink, site: str, *, clock: Clock, retry_s: float
    ) -> None:
        self._core, self._thread, self._downlink, self._site = core, thread, downlink, site
        self._clock, self.retry_s = clock, retry_s
        self._attempts: dict[str, _Attempts] = {}
        self.more = asyncio.Event()
        """Set when there may be new commands."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as publishing:
            while True:
                self.more.clear()
                known = await self._thread.run(self._core.unanswered)
                for command in self._due(known):
                    publishing.create_task(self._publish(command))
                await (self._clock.sleep(LOOK_S) if known else self.more.wait())

    def _due(self, known: list[Known]) -> list[Known]:
        self._attempts = {
            command.command: self._attempts.get(command.command) or _Attempts(self.retry_s) for command in known
        }
        now = self._clock.monotonic()
        busy = {command.device for command in known if self._attempts[command.command].under_way}
        room = MOST_AT_ONCE - len(busy)
        due: list[Known] = []
        for command in known:  # by device and counter: an older command of a device goes first, one at a time
            if len(due) < room and command.device not in busy and self._attempts[command.command].next <= now:
                busy.add(command.device)
                self._attempts[command.command].under_way = True
                due.append(command)
        return due

    async def _publish(self, command: Known) -> None:
        attempts = self._attempts[command.command]
        delivered = await self._downlink.publish(device_topic(self._site, command.device, "command"), command.envelope)
        attempts.over(self._clock.monotonic(), delivered=delivered)
