"""Requests for raw samples and what the gateways answered, as far as memory allows: read back from the topics."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.samples import ANSWERED, SampleChunk, Summary, UnreadableBlock, decode_samples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.contract.requests import SampleRequest

PULLS_KEPT = 1000
"""Requests that are remembered for each tenant."""

CHUNK_OVERHEAD = 256


class PullState(StrEnum):
    """How far an answer has come."""

    WAITING = "waiting"  # nothing has been heard; the gateway may be away
    ANSWERING = "answering"
    ANSWERED = "answered"
    REFUSED = "refused"  # `reason` says why
    EXPIRED = "expired"  # nothing came before the request expired
    FORGOTTEN = "forgotten"  # it was answered, and made room for newer answers


class GatewayPull(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's answer: of `chunks` chunks, all of `attempt`, fields as in Summary once `state` is answered."""

    gateway: str
    state: PullState
    attempt: int
    chunks: int
    samples: int
    reason: str = ""
    covered_from: int = 0
    covered_until: int = 0
    unreadable_blocks: int = 0
    unreadable: list[UnreadableBlock] = []


class PullView(msgspec.Struct, frozen=True, kw_only=True):
    """A request and every gateway's answer; `done` when nothing more will come. Times in ms."""

    request: str
    site: str
    device: str
    metrics: list[str]
    start: int
    end: int
    most_samples: int
    asked_by: str
    issued: int
    expires: int
    done: bool
    gateways: list[GatewayPull]


class Reply:
    """What one gateway has sent of its newest attempt."""

    def __init__(self) -> None:
        self.attempt, self.samples, self.bytes = -1, 0, 0
        self.chunks: dict[int, bytes] = {}
        self.last: Summary | None = None
        self.forgotten = False

    def take(self, chunk: SampleChunk, value: bytes) -> str:
        """Take a chunk: taken, stale or forgotten."""
        if chunk.attempt > self.attempt:
            self.forget()
            self.attempt, self.samples, self.last, self.forgotten = chunk.attempt, 0, None, False
        if chunk.attempt < self.attempt or chunk.chunk in self.chunks:
            return "stale"
        if chunk.summary is not None:
            self.last = chunk.summary
        if self.forgotten:
            return "forgotten"
        self.chunks[chunk.chunk] = value
        self.samples += len(chunk)
        self.bytes += len(value) + CHUNK_OVERHEAD
        return "taken"

    def forget(self) -> None:
        """Make room."""
        self.chunks, self.bytes, self.forgotten = {}, 0, True

    def complete(self) -> bool:
        """Whether the whole answer is there."""
        return self.last is not None and len(self.chunks) == self.last.chunks

    def view(self, gateway: str, *, expired: bool) -> GatewayPull:
        """As it stands."""
        summary = self.last
        state = self._state(expired=expired)
        if summary is None or state not in {PullState.ANSWERED, PullState.REFUSED, PullState.FORGOTTEN}:
            return GatewayPull(
                gateway=gateway, state=state, attempt=self.attempt, chunks=len(self.chunks), samples=self.samples
            )
        return GatewayPull(
            gateway=gateway,
            state=state,
            attempt=self.attempt,
            chunks=summary.chunks,
            samples=summary.samples,
            reason="" if summary.outcome == ANSWERED else summary.outcome,
            covered_from=summary.covered_from,
            covered_until=summary.covered_until,
            unreadable_blocks=summary.unreadable_blocks,
            unreadable=summary.unreadable,
        )

    def _state(self, *, expired: bool) -> PullState:
        if self.forgotten and self.last is not None:
            return PullState.FORGOTTEN
        if self.complete():
            answered = self.last is not None and self.last.outcome == ANSWERED
            return PullState.ANSWERED if answered else PullState.REFUSED
        if self.attempt >= 0:
            return PullState.ANSWERING
        return PullState.EXPIRED if expired else PullState.WAITING


class _Pull:
    def __init__(self) -> None:
        self.request: SampleRequest | None = None
        self.replies: dict[str, Reply] = {}

    def reply(self, gateway: str) -> Reply:
        return self.replies.setdefault(gateway, Reply())


class PullBook:
    """One tenant's requests. `gateways` are (site, gateway) pairs; answers take at most `kept_bytes`, the oldest go."""

    def __init__(self, kept_bytes: int, gateways: Iterable[tuple[str, str]]) -> None:
        self._kept_bytes, self._gateways = kept_bytes, list(gateways)
        self._pulls: dict[str, _Pull] = {}
        self._bytes = 0

    def gateways_of(self, site: str) -> list[str]:
        """Who answers for a site."""
        return sorted(gateway for known, gateway in self._gateways if known == site)

    def ask(self, request: SampleRequest) -> str:
        """Take a request: taken."""
        self._pull(request.request).request = request
        return "taken"

    def take(self, chunk: SampleChunk, value: bytes) -> str:
        """Take a part of an answer: taken, stale or forgotten."""
        reply = self._pull(chunk.request).reply(chunk.origin.gateway)
        before = reply.bytes
        outcome = reply.take(chunk, value)
        self._bytes += reply.bytes - before
        self._make_room(chunk.request)
        return outcome

    def waiting(self, now: int) -> int:
        """How many requests may still be answered at `now` (ms)."""
        return sum(not view.done for name in self._pulls if (view := self.view(name, now)))

    def view(self, name: str, now: int) -> PullView | None:
        """A request as it stands at `now` (ms)."""
        pull = self._pulls.get(name)
        if pull is None or pull.request is None:
            return None
        request = pull.request
        expired = now >= request.expires
        asked = sorted({*self.gateways_of(request.site), *pull.replies})
        gateways = [(pull.replies.get(gateway) or Reply()).view(gateway, expired=expired) for gateway in asked]
        unfinished = {PullState.WAITING, PullState.ANSWERING}
        return PullView(
            request=name,
            site=request.site,
            device=request.device,
            metrics=request.metrics,
            start=request.start,
            end=request.end,
            most_samples=request.most_samples,
            asked_by=request.asked_by,
            issued=request.issued,
            expires=request.expires,
            done=not any(gateway.state in unfinished for gateway in gateways),
            gateways=gateways,
        )

    def chunk(self, name: str, gateway: str, number: int) -> SampleChunk | None:
        """One chunk of the newest attempt; None when it is not (or no longer) there."""
        pull = self._pulls.get(name)
        reply = pull.replies.get(gateway) if pull else None
        value = reply.chunks.get(number) if reply else None
        return decode_samples(value) if value is not None else None

    def _pull(self, name: str) -> _Pull:
        if name not in self._pulls:
            while len(self._pulls) >= PULLS_KEPT:
                oldest = self._pulls.pop(next(iter(self._pulls)))
                self._bytes -= sum(reply.bytes for reply in oldest.replies.values())
            self._pulls[name] = _Pull()
        return self._pulls[name]

    def _make_room(self, newest: str) -> None:
        # Of the one that is being answered nothing goes while others still have something.
        names = [name for name in self._pulls if name != newest]
        for name in [*names, newest]:
            if self._bytes <= self._kept_bytes:
                return
            for reply in self._pulls[name].replies.values():
                self._bytes -= reply.bytes
                reply.forget()
