"""Delivers what alerts have become: from their topic into the outbox, from the outbox to each receiver."""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING

from analytics.alerts.outbox_thread import OutboxThread
from analytics.alerts.sending import Sender
from ingest.contract import names
from ingest.contract.events import AlertEvent
from ingest.contract.reasons import EventRejection
from ingest.contract.records import TRACE_HEADER, Record, read_event
from ingest.contract.topics import ALERTS
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.alerts.notifier import Notifier
    from analytics.alerts.outbox import Outbox
    from analytics.alerts.routes import Routes
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry

GROUP = "tidegate-notify"
FORGET_EVERY_MS = 3_600_000
REMIND_EVERY_MS = 1000
_TRACE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Delivery:
    """At least once to each receiver, in order per alert, whatever dies in between.

    The offset of a change is committed after it is in the outbox; a row leaves the outbox after the receiver's 2xx.
    """

    name = "alert delivery"

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Sequence[Notifier],
        routes: Routes,
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
        self._outbox, self._log, self._clock = OutboxThread(outbox), log, clock
        self._health, self._telemetry, self._member = health, telemetry, member
        self._forget_ms, self._tick_s = round(forget_s * 1000), tick_s
        self._draining = asyncio.Event()
        self._forgot_at = self._reminded_at = 0
        self._routes = routes
        self._trackers = frozenset(notifier.name for notifier in notifiers if notifier.is_tracker)
        self.took_at = clock.monotonic()
        """When the topic of alerts was read last (s, monotonic)."""
        self._senders = [
            Sender(
                notifier,
                self._outbox,
                clock=clock,
                health=health,
                telemetry=telemetry,
                group_wait_ms=round(group_wait_s * 1000),
                tick_s=tick_s,
            )
            for notifier in notifiers
        ]

    def drain(self) -> None:
        """Finish the sending under way and return from `run`; what waits is delivered by the next life."""
        self._draining.set()
        for sender in self._senders:
            sender.drain()

    async def run(self) -> None:
        """Until drained. Raises apsw.Error when the outbox cannot be written."""
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take())
                for sender in self._senders:
                    tasks.create_task(sender.run())
        except BaseExceptionGroup as group:
            failure = _first(group)
        finally:
            for sender in self._senders:
                await sender.notifier.close()
            await self._outbox.close()
        if failure is not None:
            raise failure

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
                await drained_within(self._draining, backoff.next())

    async def _queue_what_comes(self, consumer: Consumer, backoff: Backoff) -> None:
        while not self._draining.is_set():
            records = await consumer.poll(1000, self._tick_s)
            self._health.ready(self.name)
            backoff.reset()
            self.took_at = self._clock.monotonic()
            if records:
                await self._queue(records)
                await self._commit(consumer, records)
            await self._remind_now_and_then()
            await self._forget_now_and_then()

    async def _queue(self, records: Sequence[Record]) -> None:
        now, changes = self._clock.now_ms(), list(self._changes(records))
        way, trackers = self._routes.way, self._trackers
        await self._outbox.run(lambda outbox: outbox.queue(changes, way, now, trackers))
        for sender in self._senders:
            sender.wake()

    def _changes(self, records: Sequence[Record]) -> Iterator[tuple[AlertEvent, str]]:
        for record in records:
            event = read_event(record, AlertEvent)
            if event is not None:
                yield event, _trace(record)
            elif record.value is not None:
                self._telemetry.count(names.DEAD_LETTERS, topic=ALERTS, reason=EventRejection.MALFORMED)

    async def _commit(self, consumer: Consumer, records: Sequence[Record]) -> None:
        try:
            await consumer.commit({record.topic_partition: record.offset + 1 for record in records})
        except PartitionLostError:
            self._health.waiting(self.name, "partitions moved to another member")

    async def _remind_now_and_then(self) -> None:
        # What still fires is told again, and to others, when nobody looks after it.
        now = self._clock.now_ms()
        if abs(now - self._reminded_at) < REMIND_EVERY_MS:
            return
        self._reminded_at = now
        way = self._routes.way
        queued = await self._outbox.run(lambda outbox: outbox.escalate(way, now) + outbox.repeat(now))
        if queued:
            for sender in self._senders:
                sender.wake()

    async def _forget_now_and_then(self) -> None:
        now = self._clock.now_ms()
        if abs(now - self._forgot_at) > FORGET_EVERY_MS:
            self._forgot_at = now
            await self._outbox.run(lambda outbox: outbox.forget(now - self._forget_ms))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _trace(record: Record) -> str:
    match = _TRACE.fullmatch(record.header(TRACE_HEADER) or b"")
    return match.group().decode() if match else ""
