"""Commands on their last hop: published again and again, until the device answers or the command expires."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from ingest.contract.topics import device_topic
from ingest.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_aggregator.commands.table import Known
    from edge_aggregator.core import Core
    from edge_aggregator.receive.port import Downlink
    from edge_aggregator.thread import OneThread
    from ingest.runtime.clock import Clock

LOOK_S = 0.25
MOST_AT_ONCE = 500
MOST_PAUSE_S = 60.0
MOST_PAUSE_UNDELIVERED_S = 10.0


class _Open:
    """A command that nobody has answered: sent seldom once it was delivered, sooner while its device is away."""

    __slots__ = ("_delivered", "_first_s", "_undelivered", "command")

    def __init__(self, command: Known, first_s: float, jitter: random.Random) -> None:
        self.command, self._first_s = command, first_s
        self._delivered = Backoff(jitter, first_s, MOST_PAUSE_S)
        self._undelivered = Backoff(jitter, first_s, MOST_PAUSE_UNDELIVERED_S)

    def pause(self, *, delivered: bool) -> float:
        """Seconds until the next attempt; a device that was reached has its time to answer."""
        return max(self._first_s, self._delivered.next()) if delivered else self._undelivered.next()


class Publisher:
    """Keeps up to `MOST_AT_ONCE` commands under way, one of a device; what came first goes first."""

    def __init__(
        self, core: Core, thread: OneThread, downlink: Downlink, site: str, *, clock: Clock, retry_s: float
    ) -> None:
        self._core, self._thread, self._downlink, self._site = core, thread, downlink, site
        self._clock, self.retry_s = clock, retry_s
        self._jitter = random.Random()  # noqa: S311 - jitter, not a secret
        self._open: dict[str, _Open] = {}
        self._fresh = deque[tuple[float, int, str]]()
        """What was never sent goes before whatever is sent again, or a large wave would stop for its own repeats."""
        self._due: list[tuple[float, int, str]] = []
        """A heap of (monotonic s, order, command)."""
        self._order = itertools.count()
        self._busy: dict[str, list[tuple[float, int, str]]] = {}
        """Devices that a command is under way to, with those that wait for its end."""
        self.more = asyncio.Event()
        """Set when commands came or were answered."""

    async def run(self) -> None:
        """Until cancelled."""
        self.take(await self._thread.run(self._core.unanswered), ())
        while True:
            if self.more.is_set():
                self.more.clear()
                changes = await self._thread.run(self._core.command_changes)
                self.take(changes.opened, changes.closed)
            self.send_due()
            await self._wait()

    def take(self, opened: Iterable[Known], closed: Iterable[str]) -> None:
        """Commands that are to be published from now on, and such that are not any more."""
        for command in opened:
            if command.command not in self._open:
                self._open[command.command] = _Open(command, self.retry_s, self._jitter)
                self._fresh.append((self._clock.monotonic(), next(self._order), command.command))
        for name in closed:
            self._open.pop(name, None)

    def send_due(self) -> None:
        """Publish what is due, as far as there is room."""
        now = self._clock.monotonic()
        while len(self._busy) < MOST_AT_ONCE and (entry := self._next(now)):
            one = self._open.get(entry[2])
            if one is None:
                continue
            if one.command.device in self._busy:  # an older command of a device goes first
                self._busy[one.command.device].append(entry)
                continue
            self._send(one)

    def _next(self, now: float) -> tuple[float, int, str] | None:
        if self._fresh:
            return self._fresh.popleft()
        return heapq.heappop(self._due) if self._due and self._due[0][0] <= now else None

    def _send(self, one: _Open) -> None:
        command = one.command
        self._busy[command.device] = []
        topic = device_topic(self._site, command.device, "command")
        self._downlink.send(topic, command.envelope, partial(self._sent, one))

    def _sent(self, one: _Open, delivered: bool) -> None:  # noqa: FBT001 - the port's callback
        command = one.command
        for entry in self._busy.pop(command.device):
            heapq.heappush(self._due, entry)
        if command.command in self._open:
            pause = one.pause(delivered=delivered)
            heapq.heappush(self._due, (self._clock.monotonic() + pause, next(self._order), command.command))
        self.send_due()

    async def _wait(self) -> None:
        if not self._open:
            await self.more.wait()
            return
        coming = asyncio.create_task(self.more.wait())
        looking = asyncio.create_task(self._clock.sleep(LOOK_S))
        try:
            await asyncio.wait({coming, looking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            coming.cancel()
            looking.cancel()
