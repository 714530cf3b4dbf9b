"""Delivers the calls that wait in the log to the owner of the rollouts: in order, until taken or refused for good."""

from __future__ import annotations

import asyncio
import email.utils
import random
from typing import TYPE_CHECKING

import httpx

from analytics.rollback.webhook import CALLS
from ingest.contract.names import DEAD_LETTERS
from ingest.contract.records import TRACE_HEADER, Record, dead_letter
from ingest.contract.topics import dead
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError
from ingest.runtime.webhooks import signature

if TYPE_CHECKING:
    from analytics.rollouts.config import WebhookConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry

_AGAIN = frozenset({408, 425, 429})


class WebhookSender:
    """A service. A call is forgotten (its offset committed) once it was answered with 2xx or became a dead letter."""

    name = "rollback-webhook"

    def __init__(
        self,
        config: WebhookConfig,
        secret: str,
        *,
        log: Log,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        member: str,
    ) -> None:
        self._config, self._secret, self._log = config, secret.encode(), log
        self._clock, self._health, self._telemetry, self._member = clock, health, telemetry, member
        self._draining = asyncio.Event()
        self._backoff = Backoff(random.Random(), most_s=config.most_wait_s)  # noqa: S311 - jitter, not a secret

    def drain(self) -> None:
        """Let `run` return; what is not delivered stays in the log."""
        self._draining.set()

    async def run(self) -> None:
        """Deliver until drained; while the log is away, wait."""
        async with httpx.AsyncClient(timeout=self._config.timeout_s, follow_redirects=False) as client:
            while not self._draining.is_set():
                try:
                    await self._run_connected(client)
                except LogUnavailableError as error:
                    await self._wait(f"log: {error}")

    async def _run_connected(self, client: httpx.AsyncClient) -> None:
        consumer = await self._log.subscribe((CALLS,), group="tidegate-rollback-webhook", member=self._member)
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
            problem, least_wait_s, is_final = await self._try(client, record)
            if not problem:
                self._backoff.reset()
                return True
            if is_final:
                await self._bury(record, problem)
                return True
            await self._wait(f"{self._config.url}: {problem}", least_wait_s)
        return False

    async def _try(self, client: httpx.AsyncClient, record: Record) -> tuple[str, float, bool]:
        # What went wrong (empty: nothing), how long to wait at least, and whether trying again is pointless.
        body = record.value or b""
        try:
            answer = await client.post(self._config.url, content=body, headers=self._headers(record, body))
        except httpx.HTTPError as error:
            return (str(error) or type(error).__name__, 0.0, False)
        if answer.is_success:
            return ("", 0.0, False)
        again = answer.status_code in _AGAIN or answer.is_server_error
        return (f"answered {answer.status_code}", self._asked_to_wait(answer), not again)

    def _headers(self, record: Record, body: bytes) -> dict[str, str]:
        timestamp = str(self._clock.now_ms() // 1000)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": (record.header("ce_id") or b"").decode(),
            self._config.timestamp_header: timestamp,
            self._config.signature_header: signature(self._secret, timestamp, body),
        }
        trace = record.header(TRACE_HEADER)
        return headers | ({TRACE_HEADER: trace.decode("ascii", "replace")} if trace else {})

    def _asked_to_wait(self, answer: httpx.Response) -> float:
        # Retry-After: seconds or a date (RFC 9110, section 10.2.3).
        text = answer.headers.get("Retry-After", "")
        if text.isdigit():
            return min(float(text), self._config.most_wait_s)
        try:
            until = email.utils.parsedate_to_datetime(text).timestamp()
        except ValueError:
            return 0.0
        return min(max(0.0, until - self._clock.now_ms() / 1000), self._config.most_wait_s)

    async def _bury(self, record: Record, problem: str) -> None:
        self._telemetry.count(DEAD_LETTERS, topic=CALLS, reason="refused")
        await self._log.append([dead_letter(record, "refused", problem, dead(CALLS))])

    async def _wait(self, reason: str, least_s: float = 0.0) -> None:
        self._health.waiting(self.name, reason)
        try:
            await asyncio.wait_for(self._draining.wait(), max(least_s, self._backoff.next()))
        except TimeoutError:
            return


async def _commit(consumer: Consumer, record: Record) -> None:
    try:
        await consumer.commit({record.topic_partition: record.offset + 1})
    except PartitionLostError:
        return  # the other member delivers it again, under the same idempotency key
