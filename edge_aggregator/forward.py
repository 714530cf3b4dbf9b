"""The way up: what is new leaves at once, a backlog drains beside it, and records are forgotten once the log has them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec

from edge_aggregator.outbox.outbox import Kind, Tried
from ingest.contract.batch_wire import mark_historical
from ingest.contract.commands import key_id
from ingest.runtime.backoff import Backoff
from ingest.runtime.gateways import signature_headers
from ingest.runtime.log.port import LogUnavailableError, RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_aggregator.core import Core
    from edge_aggregator.outbox.outbox import Waiting
    from edge_aggregator.outbox.pace import Pace
    from edge_aggregator.thread import OneThread
    from ingest.contract.records import Outgoing
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log


class Signer:
    """Signs what leaves; backlog, and what has waited longer than `historical_after_ms`, is marked as such first."""

    def __init__(self, key: Ed25519PrivateKey, *, historical_after_ms: int) -> None:
        self._key, self._name = key, key_id(key.public_key())
        self.historical_after_ms = historical_after_ms

    def sign(self, waiting: Waiting, now: int) -> Outgoing:
        """The record as it is sent; the signature covers its value."""
        record, value = waiting.record, waiting.record.value
        if value is None:
            return record
        late = waiting.tried is Tried.BACKLOG or now - waiting.created > self.historical_after_ms
        if waiting.kind is Kind.ROLLUPS and late:
            value = mark_historical(value)
        headers = (*record.headers, *signature_headers(value, self._key, self._name))
        return msgspec.structs.replace(record, value=value, headers=headers)


class Forwarder:
    """Sends until told otherwise; while the log is away it waits with jittered backoff and says so.

    `told` is called with what the log has taken.
    """

    def __init__(
        self,
        core: Core,
        thread: OneThread,
        log: Log,
        signer: Signer,
        pace: Pace,
        *,
        clock: Clock,
        health: Health,
        part: str,
        told: Callable[[Sequence[Waiting]], None] = lambda _: None,
    ) -> None:
        self._core, self._thread, self._log, self._signer, self._pace = core, thread, log, signer, pace
        self._clock, self._health, self._part, self._told = clock, health, part, told
        self._draining = False
        self.away = False
        """Whether the log was away at the last try."""
        self.more = asyncio.Event()
        """Set when the outbox may have something new."""
        self._overtaken = asyncio.Event()

    def drain(self) -> None:
        """Send what can be sent now, then return from `run`."""
        self._draining = True
        self.more.set()
        self._overtaken.set()

    async def run(self) -> None:
        """Until drained or cancelled: news and backlog side by side."""
        fresh = asyncio.create_task(self._keep_on(self._send_fresh, self.more))
        backlog = asyncio.create_task(self._keep_on(self._send_backlog, self._overtaken))
        try:
            await asyncio.gather(fresh, backlog)
        finally:
            for task in (fresh, backlog):
                task.cancel()
            await asyncio.gather(fresh, backlog, return_exceptions=True)
        await self._keep_on(self._send_backlog, self._overtaken)  # what the last news have overtaken

    async def _keep_on(self, send: Callable[[], Awaitable[bool]], more: asyncio.Event) -> None:
        backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        while True:
            more.clear()
            try:
                while await send():
                    backoff.reset()
                    self.away = False
            except LogUnavailableError as error:
                self.away = True
                self._health.waiting(self._part, f"log: {error}")
                self._pace.slow_down()
                if not self._draining:
                    await self._clock.sleep(backoff.next())
                    continue
            if self._draining:
                return
            await more.wait()

    async def _send_fresh(self) -> bool:
        waiting = await self._thread.run(self._core.fresh)
        if waiting:
            self._overtaken.set()  # what these have overtaken is backlog from now on
            await self._send(waiting)
            self._health.ready(self._part)
        return bool(waiting)

    async def _send_backlog(self) -> bool:
        waiting = await self._thread.run(self._core.backlog, self._pace.turn_bytes())
        if waiting:
            begun = self._clock.monotonic()
            await self._send(waiting)
            size = sum(len(one.record.value or b"") for one in waiting)
            pause = self._pace.sent(size, self._clock.monotonic() - begun)
            self._health.ready(self._part)
            if pause > 0 and not self._draining:
                await self._clock.sleep(pause)
        return bool(waiting)

    async def _send(self, waiting: Sequence[Waiting]) -> None:
        try:
            records = await self._thread.run(self._signed, waiting)
            try:
                await self._log.append(records)
            except RecordTooLargeError:
                await self._send_each(waiting, records)
            else:
                await self._thread.run(self._core.sent, waiting)
                self._told(waiting)
        except BaseException:
            self._core.returned(waiting)
            raise

    async def _send_each(self, waiting: Sequence[Waiting], records: Sequence[Outgoing]) -> None:
        # One record that the log will never take must not hold up the others.
        for one, record in zip(waiting, records, strict=True):
            try:
                await self._log.append([record])
            except RecordTooLargeError:
                await self._thread.run(self._core.refuse, one)
            else:
                await self._thread.run(self._core.sent, [one])
                self._told([one])

    def _signed(self, waiting: Sequence[Waiting]) -> list[Outgoing]:
        now = self._clock.now_ms()
        return [self._signer.sign(one, now) for one in waiting]
