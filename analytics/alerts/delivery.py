"""Delivers what alerts have become: from their topic into the outbox, from the outbox to each receiver."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from analytics.alerts.alertmanager import HOLD_S, Alertmanager
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError
from ingest.contract import names
from ingest.contract.events import AlertEvent
from ingest.contract.records import TRACE_HEADER, Record, read_event
from ingest.contract.topics import ALERTS
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.notifier import Notifier
    from analytics.alerts.outbox import Outbox
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry

GROUP = "tidegate-notify"
FORGET_EVERY_MS = 3_600_000


class Delivery:
    """At least once to each receiver, in order per alert, whatever dies in between.

    The offset of a change is committed after it is in the outbox; a row leaves the outbox after the receiver's 2xx.
    """

    name = "alert delivery"

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Sequence[Notifier],
        *,
        log: Log,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        member: str,
        group_wait_s: float,
        forget_s: float,
        tick_s: float,
    ) -> None:
        self._outbox, self._notifiers, self._log, self._clock = outbox, notifiers, log, clock
        self._health, self._telemetry, self._member = health, telemetry, member
        self._group_wait_ms, self._forget_ms, self._tick_s = round(group_wait_s * 1000), round(forget_s * 1000), tick_s
        self._draining = asyncio.Event()
        self._queued = asyncio.Event()
        self._forgot_at = 0

    def drain(self) -> None:
        """Finish the sending under way and return from `run`; what waits is delivered by the next life."""
        self._draining.set()
        self._queued.set()

    async def run(self) -> None:
        """Until drained."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take())
            for notifier in self._notifiers:
                tasks.create_task(self._deliver(notifier))
                if isinstance(notifier, Alertmanager):
                    tasks.create_task(self._repeat(notifier))
        for notifier in self._notifiers:
            await notifier.close()
        self._outbox.close()

    async def _take(self) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        while not self._draining.is_set():
            try:
                consumer = await self._log.subscribe([ALERTS], group=GROUP, member=self._member)
                try:
                    await self._queue_what_comes(consumer, backoff)
                finally:
                    await consumer.close()
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
                await self._pause(backoff.next())

    async def _queue_what_comes(self, consumer: Consumer, backoff: Backoff) -> None:
        while not self._draining.is_set():
            records = await consumer.poll(1000, self._tick_s)
            self._health.ready(self.name)
            backoff.reset()
            if records:
                self._queue(records)
                await self._commit(consumer, records)

    def _queue(self, records: Sequence[Record]) -> None:
        now = self._clock.now_ms()
        changes = [(event, _trace(record)) for record in records if (event := read_event(record, AlertEvent))]
        self._outbox.queue(changes, [notifier.name for notifier in self._notifiers], now)
        if now - self._forgot_at > FORGET_EVERY_MS:
            self._outbox.forget(now - self._forget_ms)
            self._forgot_at = now
        self._queued.set()

    async def _commit(self, consumer: Consumer, records: Sequence[Record]) -> None:
        try:
            await consumer.commit({record.topic_partition: record.offset + 1 for record in records})
        except PartitionLostError:
            self._health.waiting(self.name, "partitions moved to another member")

    async def _deliver(self, notifier: Notifier) -> None:
        backoff = Backoff(random.Random(), 0.2, notifier.most_wait_s)  # noqa: S311 - jitter, not a secret
        while not self._draining.is_set():
            found = self._outbox.next(notifier.name, self._clock.now_ms(), self._group_wait_ms)
            if found is None:
                await self._wait_for_work()
                continue
            rows, notification = found
            try:
                await notifier.send(notification)
            except TemporarilyRefusedError as error:
                self._count(notifier, "retried")
                self._health.waiting(f"receiver {notifier.name}", str(error))
                await self._pause(max(backoff.next(), error.retry_after_s))
            except PermanentlyRefusedError as error:
                self._count(notifier, "refused", len(rows))
                self._outbox.settle(rows, "dead", str(error), self._clock.now_ms())
            else:
                self._count(notifier, "delivered", len(rows))
                self._outbox.settle(rows, "delivered", "", self._clock.now_ms())
                self._health.ready(f"receiver {notifier.name}")
                backoff.reset()

    async def _repeat(self, alertmanager: Alertmanager) -> None:
        while not self._draining.is_set():
            await self._pause(alertmanager.resend_s)
            alerts = self._outbox.living(self._clock.now_ms() - round(HOLD_S * 1000))
            try:
                if alerts and not self._outbox.waiting(alertmanager.name):
                    await alertmanager.post(alerts)
            except (TemporarilyRefusedError, PermanentlyRefusedError):
                self._count(alertmanager, "repeat_failed")

    async def _wait_for_work(self) -> None:
        self._queued.clear()
        try:
            await asyncio.wait_for(self._queued.wait(), self._tick_s)
        except TimeoutError:
            return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return

    def _count(self, notifier: Notifier, outcome: str, number: int = 1) -> None:
        self._telemetry.count(names.ALERT_DELIVERIES, number, receiver=notifier.name, outcome=outcome)
        self._telemetry.gauge(names.ALERT_OUTBOX, self._outbox.waiting(notifier.name), receiver=notifier.name)


def _trace(record: Record) -> str:
    return (record.header(TRACE_HEADER) or b"").decode("ascii", "replace")
