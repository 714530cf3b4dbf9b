"""The way of alarms to the site's panel and webhook, without any link to the centre."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from ingest.contract.topics import device_topic
from ingest.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge_aggregator.core import Core
    from edge_aggregator.receive.port import Downlink
    from edge_aggregator.rules.queue import Notification, Target
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock

LOOK_S = 5.0


class Outcome(StrEnum):
    """What became of one try."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    REFUSED = "refused"  # for good: the receiver does not want it


class Panel:
    """Publishes what a device's topic is to say, retained."""

    def __init__(self, downlink: Downlink, site: str) -> None:
        self._downlink, self._site = downlink, site

    async def __call__(self, notification: Notification) -> Outcome:
        """One try."""
        topic = device_topic(self._site, notification.key, "alarm")
        taken = await self._downlink.publish(topic, notification.body, retain=True)
        return Outcome.DELIVERED if taken else Outcome.RETRIED


class AlarmSender:
    """Sends what waits for one target, in order, at least once; while it is away, waits with jittered backoff.

    `outcomes` counts tries by outcome.
    """

    def __init__(
        self,
        target: Target,
        send: Callable[[Notification], Awaitable[Outcome]],
        core: Core,
        thread: OneThread,
        clock: Clock,
        *,
        most_wait_s: float = 60.0,
    ) -> None:
        self.target, self._send, self._core, self._thread, self._clock = target, send, core, thread, clock
        self._backoff = Backoff(random.Random(), 0.2, most_wait_s)  # noqa: S311 - jitter, not a secret
        self.outcomes: Counter[str] = Counter()
        self.more = asyncio.Event()
        """Set when there may be something new."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.more.clear()
            while await self._send_some():
                pass
            try:
                await asyncio.wait_for(self.more.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _send_some(self) -> bool:
        waiting = await self._thread.run(self._core.alarms_waiting, self.target)
        for notification in waiting:
            outcome = await self._send(notification)
            self.outcomes[outcome.value] += 1
            if outcome is Outcome.RETRIED:
                await self._clock.sleep(self._backoff.next())
                return True
            self._backoff.reset()
            await self._thread.run(self._core.alarm_told, notification)
        return bool(waiting)
