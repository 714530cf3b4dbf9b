"""The flight recorder at work: one request at a time, in small turns between which everything else goes first."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import apsw
import msgspec

from edge_aggregator.recorder.answers import Answer, unreadable
from ingest.contract import names
from ingest.contract.reasons import RequestRefusal
from ingest.contract.samples import ANSWERED
from ingest.runtime.backoff import Backoff
from ingest.runtime.gateways import signature_headers
from ingest.runtime.log.port import LogUnavailableError, RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_aggregator.core import Core
    from edge_aggregator.recorder.answers import Part
    from edge_aggregator.recorder.search import Search
    from edge_aggregator.recorder.table import OpenRequest
    from edge_aggregator.thread import OneThread
    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

REST = 3.0
"""After each turn the gateway's thread is left alone for so many times as long as the turn took."""

LOOK_S = 60.0
"""Requests that expire while nothing is asked are looked at this often."""


class Recorder:
    """Answers requests; `key` with the id `key_name` signs, `changed` is called when the outbox may have something new."""

    def __init__(
        self,
        core: Core,
        thread: OneThread,
        log: Log,
        key: Ed25519PrivateKey,
        key_name: str,
        *,
        bytes_per_s: int,
        most_samples: int,
        clock: Clock,
        telemetry: Telemetry,
        changed: Callable[[], None],
    ) -> None:
        self._core, self._thread, self._log, self._key, self._key_name = core, thread, log, key, key_name
        self._bytes_per_s, self._most_samples = bytes_per_s, most_samples
        self._clock, self._telemetry, self._changed = clock, telemetry, changed
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        self._asked = asyncio.Event()

    async def take(self, records: Sequence[Record], now: int) -> None:
        """Take requests durably, or refuse them."""
        outcomes = await self._thread.run(self._core.take_requests, records, now)
        for outcome, count in outcomes.items():
            if outcome not in {"taken", "duplicate"}:
                self._telemetry.count(names.EDGE_PULLS, count, outcome=outcome)
        self._changed()
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._asked.clear()
            begun = await self._thread.run(self._core.begin_pull, self._clock.now_ms())
            if begun is not None:
                await self._answer(begun)
                continue
            try:
                await asyncio.wait_for(self._asked.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _answer(self, begun: OpenRequest) -> None:
        with self._telemetry.span("edge.pull", begun.trace or None, request=begun.request.request) as trace:
            begun = msgspec.structs.replace(begun, trace=trace)
            answer = await self._sent_or_failed(begun)
        await self._thread.run(self._core.close_pull, begun, answer, self._clock.now_ms())
        self._telemetry.count(names.EDGE_PULLS, outcome=answer.outcome)
        self._changed()

    async def _sent_or_failed(self, begun: OpenRequest) -> Answer:
        # What cannot be answered is no reason to take no more samples.
        try:
            search = await self._thread.run(self._core.search, begun.request, self._most_samples)
            return await self._sent(begun, search)
        except (apsw.Error, OSError, RecordTooLargeError):
            _LOG.exception("request %s for raw samples cannot be answered", begun.request.request)
            return Answer(RequestRefusal.FAILED.value, begun.attempt + 1)

    async def _sent(self, begun: OpenRequest, search: Search) -> Answer:
        answer = Answer(ANSWERED, begun.attempt)
        while True:
            await self._pass(search)
            found = await asyncio.to_thread(search.take)
            parts = self._core.answers.parts(begun, found, answer.chunks, self._clock.now_ms())
            while (part := await asyncio.to_thread(_next, parts)) is not None:
                if not await self._append(begun, part.record):
                    return msgspec.structs.replace(answer, outcome=RequestRefusal.EXPIRED.value)
                answer = _with(answer, part)
                self._telemetry.count(names.EDGE_PULLED_SAMPLES, part.samples)
            if search.over():
                return await self._last(begun, search, answer)

    async def _pass(self, search: Search) -> None:
        over = False
        while not over:
            begun = self._clock.monotonic()
            over = await self._thread.run(self._core.search_turn, search)
            await self._clock.sleep(REST * (self._clock.monotonic() - begun))

    async def _last(self, begun: OpenRequest, search: Search, answer: Answer) -> Answer:
        now, forgotten = self._clock.now_ms(), await self._thread.run(self._core.forgotten)
        until = min(search.until, max(now, begun.request.start))
        answer = msgspec.structs.replace(
            answer,
            covered_from=min(max(begun.request.start, forgotten + 1), until),
            covered_until=until,
            unreadable_blocks=len(search.lost),
            unreadable=unreadable(search.lost.values()),
        )
        record, size = self._core.answers.last(begun.request, answer, attempt=begun.attempt, now=now, trace=begun.trace)
        if not await self._append(begun, record):
            return msgspec.structs.replace(answer, outcome=RequestRefusal.EXPIRED.value)
        return msgspec.structs.replace(answer, chunks=answer.chunks + 1, bytes=answer.bytes + size, told=True)

    async def _append(self, begun: OpenRequest, record: Outgoing) -> bool:
        # False when the log stayed away until nobody waits for the answer any more.
        value = record.value or b""
        signed = msgspec.structs.replace(
            record, headers=(*record.headers, *signature_headers(value, self._key, self._key_name))
        )
        while True:
            try:
                await self._log.append([signed])
            except LogUnavailableError:
                if self._clock.now_ms() >= begun.request.expires:
                    return False
                await self._clock.sleep(self._backoff.next())
            else:
                self._backoff.reset()
                await self._clock.sleep(len(value) / self._bytes_per_s)
                return True


def _next(parts: object) -> Part | None:
    part: Part | None = next(parts, None)  # type: ignore[call-overload]
    return part


def _with(answer: Answer, part: Part) -> Answer:
    size = len(part.record.value or b"")
    return msgspec.structs.replace(
        answer, samples=answer.samples + part.samples, chunks=answer.chunks + 1, bytes=answer.bytes + size
    )
