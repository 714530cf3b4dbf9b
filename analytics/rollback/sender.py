"""Delivers what waits in a topic of the log: in order, until taken or refused for good."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

import httpx

from ingest.contract.names import DEAD_LETTERS
from ingest.contract.records import Record, dead_letter
from ingest.contract.topics import dead
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from analytics.rollback.attempts import Tried
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry


class Attempt(Protocol):
    """One try to deliver a record."""

    async def __call__(self, client: httpx.AsyncClient, record: Record) -> Tried:
        """How it went."""
        ...


class Sender:
    """A service. A record is forgotten (its offset committed) once it was delivered or became a dead letter."""

    def __init__(
        self,
        name: str,
        topic: str,
        attempt: Attempt,
        *,
        log: Log,
        health: Health,
        telemetry: Telemetry,
        member: str,
        timeout_s: float = 10.0,
        most_wait_s: float = 300.0,
    ) -> None:
        self.name, self._topic, self._attempt, self._log = name, topic, attempt, log
        self._health, self._telemetry, self._member, self._timeout_s = health, telemetry, member, timeout_s
        self._draining = asyncio.Event()
        self._backoff = Backoff(random.Random(), most_s=most_wait_s)  # noqa: S311 - jitter, not a secret

    def drain(self) -> None:
        """Let `run` return; what is not delivered stays in the log."""
        self._draining.set()

    async def run(self) -> None:
        """Deliver until drained; while the log is away, wait."""
        async with httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False) as client:
            while not self._draining.is_set():
                try:
                    await self._run_connected(client)
                except LogUnavailableError as error:
                    await self._wait(f"log: {error}")

    async def _run_connected(self, client: httpx.AsyncClient) -> None:
        consumer = await self._log.subscribe((self._topic,), group=f"tidegate-{self.name}", member=self._member)
        try:
            while not self._draining.is_set():
                for record in await consumer.poll(10, 0.5):
                    if not await self._deliver(client, record):
                        return
                    await _commit(consumer, record)
                self._health.ready(self.name)
        finally:
            await consumer.close()

    async def _deliver(self, client: httpx.AsyncClient, record: Record) -> bool:
        # True when the record is dealt with; False when we are to stop before.
        while not self._draining.is_set():
            tried = await self._attempt(client, record)
            if not tried.problem:
                self._backoff.reset()
                return True
            if tried.is_final:
                await self._bury(record, tried.problem)
                return True
            await self._wait(tried.problem, tried.wait_s)
        return False

    async def _bury(self, record: Record, problem: str) -> None:
        self._telemetry.count(DEAD_LETTERS, topic=self._topic, reason="refused")
        await self._log.append([dead_letter(record, "refused", problem, dead(self._topic))])

    async def _wait(self, reason: str, least_s: float = 0.0) -> None:
        self._health.waiting(self.name, reason)
        await drained_within(self._draining, max(least_s, self._backoff.next()))


async def _commit(consumer: Consumer, record: Record) -> None:
    try:
        await consumer.commit({record.topic_partition: record.offset + 1})
    except PartitionLostError:
        return  # the other member delivers it again, under the same idempotency key
