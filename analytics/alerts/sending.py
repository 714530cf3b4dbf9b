"""One receiver's side of the outbox: what waits for it is sent, again and again until it is taken or refused for good."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from analytics.alerts.alertmanager import HOLD_S, Alertmanager
from analytics.alerts.circuit import Circuit, CircuitState
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.outbox import BESIDE_MS
from ingest.contract import names
from ingest.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.alerts.notifier import Notifier
    from analytics.alerts.outbox import Due, Outbox
    from analytics.alerts.outbox_thread import OutboxThread
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.telemetry import Telemetry


class Sender:
    """Delivers to one receiver, one group at a time."""

    def __init__(
        self,
        notifier: Notifier,
        outbox: OutboxThread,
        *,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        group_wait_ms: int,
        tick_s: float,
    ) -> None:
        self.notifier, self._outbox, self._clock = notifier, outbox, clock
        self._health, self._telemetry = health, telemetry
        self._group_wait_ms, self._tick_s = group_wait_ms, tick_s
        backoff = Backoff(random.Random(), 0.2, notifier.most_wait_s)  # noqa: S311 - jitter, not a secret
        self._circuit = Circuit(backoff)
        self._draining, self._queued = asyncio.Event(), asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._woken_at = -math.inf

    def wake(self) -> None:
        """There may be something new."""
        self._queued.set()

    def drain(self) -> None:
        """Finish the sending under way and let `run` return."""
        self._draining.set()
        self._queued.set()

    async def run(self) -> None:
        """Until drained."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver())
            if isinstance(self.notifier, Alertmanager):
                tasks.create_task(self._repeat(self.notifier))

    async def _deliver(self) -> None:
        while not self._draining.is_set():
            if self._queued.is_set():
                self._queued.clear()
                self._woken_at = self._clock.monotonic()
            due = await self._outbox.run(self._next)
            if due is not None:
                await self._send(due)
            elif not self._draining.is_set():
                await self._wait(self._queued, self._patience_s())

    def _patience_s(self) -> float:
        # What came a moment ago waits for its like, and no longer.
        is_near = self._clock.monotonic() - self._woken_at <= (self._group_wait_ms + BESIDE_MS) / 1000
        return min(BESIDE_MS / 1000, self._tick_s) if is_near else self._tick_s

    def _next(self, outbox: Outbox) -> Due | None:
        # Who takes alerts one by one has nothing to wait for.
        wait_ms = self._group_wait_ms if self.notifier.group_most > 1 else 0
        return outbox.next(self.notifier.name, self._clock.now_ms(), wait_ms, self.notifier.group_most)

    async def _send(self, due: Due) -> None:
        try:
            async with self._one_at_a_time:
                await self.notifier.send(due.notification)
        except TemporarilyRefusedError as error:
            self._say(str(error))
            pause_s = self._circuit.failed(self._clock.monotonic(), error.retry_after_s)
            await self._account("retried", len(due.rows), lambda outbox: outbox.postpone(due.rows))
            await self._wait(self._draining, pause_s)
        except PermanentlyRefusedError as error:
            self._say(str(error))
            await self._refused(due, str(error))
        else:
            self._say("")
            self._circuit.went_well()
            await self._settle(due, "delivered", "")

    async def _refused(self, due: Due, detail: str) -> None:
        # One alert that a receiver will never take must not take others with it.
        if len(due.rows) > 1:
            await self._account("parted", len(due.rows), lambda outbox: outbox.part(due.rows))
        else:
            await self._settle(due, "dead", detail)

    async def _settle(self, due: Due, outcome: str, detail: str) -> None:
        now = self._clock.now_ms()
        counted = "refused" if outcome == "dead" else outcome
        await self._account(counted, len(due.rows), lambda outbox: outbox.settle(due.rows, outcome, detail, now))

    async def _repeat(self, alertmanager: Alertmanager) -> None:
        while not self._draining.is_set():
            try:
                # Nothing else is sent meanwhile: an alert that has ended must not be said to fire once more.
                async with self._one_at_a_time:
                    await self._repeat_once(alertmanager)
            except (TemporarilyRefusedError, PermanentlyRefusedError) as error:
                self._say(str(error))
                self._telemetry.count(names.ALERT_DELIVERIES, receiver=alertmanager.name, outcome="repeat_failed")
            await self._wait(self._draining, alertmanager.resend_s)

    async def _repeat_once(self, alertmanager: Alertmanager) -> None:
        ended_after, name = self._clock.now_ms() - round(HOLD_S * 1000), alertmanager.name
        # Of whom something waits, that comes first: what is repeated is what Alertmanager was told last.
        alerts = await self._outbox.run(lambda outbox: outbox.living(ended_after, name))
        if alerts:
            await alertmanager.repeat(alerts)
            self._say("")

    def _say(self, problem: str) -> None:
        part = f"receiver {self.notifier.name}"
        if problem:
            self._health.waiting(part, problem)
        else:
            self._health.ready(part)

    async def _account(self, outcome: str, number: int, write: Callable[[Outbox], None]) -> None:
        name = self.notifier.name
        await self._outbox.run(write)
        waiting = await self._outbox.run(lambda outbox: outbox.waiting(name))
        self._telemetry.count(names.ALERT_DELIVERIES, number, receiver=name, outcome=outcome)
        self._telemetry.gauge(names.ALERT_OUTBOX, waiting, receiver=name)
        is_open = self._circuit.state(self._clock.monotonic()) is not CircuitState.CLOSED
        self._telemetry.gauge(names.ALERT_CIRCUIT, float(is_open), receiver=name)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
