"""The thin shell around every central worker: poll, step, checkpoint, append, commit."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import msgspec

from ingest.contract.records import TRACE_HEADER, Outgoing
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.checkpoint import Checkpoint
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry


class StepResult(msgspec.Struct, frozen=True):
    """What a step led to.

    The state is saved, with the offsets it stands for, when there is anything to append or `changed` says so; until then
    a crash leads to the same records being taken again, from the state saved last.
    """

    outgoing: list[Outgoing] = []
    changed: bool = False


class Stage(Protocol):
    """A worker's pure core: all that it knows, and how it changes."""

    @property
    def name(self) -> str:
        """What it is called in spans, errors and readiness."""
        ...

    @property
    def topics(self) -> Sequence[str]:
        """What it consumes."""
        ...

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take records (may be none: time alone has passed) at time `now` (ms).

        What a record leads to carries that record's `traceparent`.
        """
        ...

    def snapshot(self) -> Mapping[str, bytes]:
        """The state by parts, complete or only the parts that changed since the last call."""
        ...

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue from what snapshots of an earlier life said; called once, before the first step."""
        ...


class StageWorker:
    """Runs a stage against a log until it is told to drain."""

    def __init__(
        self,
        stage: Stage,
        *,
        log: Log,
        checkpoint: Checkpoint,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        group: str,
        member: str,
        tick_s: float = 0.2,
        max_records: int = 2000,
    ) -> None:
        self._stage, self._log, self._checkpoint, self._clock = stage, log, checkpoint, clock
        self._health, self._telemetry, self._group, self._member = health, telemetry, group, member
        self._tick_s, self._max_records = tick_s, max_records
        self._draining = asyncio.Event()
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        self._positions: dict[TopicPartition, int] = {}
        self._saved: dict[TopicPartition, int] = {}

    @property
    def name(self) -> str:
        """The stage's name."""
        return self._stage.name

    def drain(self) -> None:
        """Finish the step under way, save, and let `run` return."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained; while the log is away: wait with jittered backoff and say so."""
        self._stage.restore(self._checkpoint.load())
        self._saved = self._checkpoint.positions()
        while not self._draining.is_set():
            try:
                await self._run_connected()
            except LogUnavailableError as error:
                self._health.waiting(self._stage.name, f"log: {error}")
                await self._pause(self._backoff.next())
        await asyncio.to_thread(self._checkpoint.save, self._stage.snapshot(), self._positions, [])

    async def _run_connected(self) -> None:
        await self._append_unsent()
        # After a lost connection the state in memory is ahead of the saved one: its own positions are the truth.
        self._positions = self._saved | self._positions
        consumer = await self._log.subscribe(
            self._stage.topics, group=self._group, member=self._member, resume=self._positions.get
        )
        self._health.ready(self._stage.name)
        try:
            while not self._draining.is_set():
                await self._turn(consumer)
        finally:
            await consumer.close()

    async def _turn(self, consumer: Consumer) -> None:
        records = self._fresh(await consumer.poll(self._max_records, self._tick_s))
        await self._process(records)
        await self._append_unsent()
        self._health.ready(self._stage.name)
        self._backoff.reset()
        if records:
            await self._commit(consumer)

    def _fresh(self, records: list[Record]) -> list[Record]:
        # A rebalance may rewind to the group's committed offset; what the state already contains is passed over.
        return [r for r in records if r.offset >= self._positions.get(r.topic_partition, 0)]

    async def _process(self, records: list[Record]) -> None:
        with ExitStack() as spans:
            traced = self._within_spans(records, spans)
            result = self._stage.step(traced, self._clock.now_ms())
        for record in records:
            self._positions[record.topic_partition] = record.offset + 1
        if result.outgoing or result.changed:
            parts, positions = self._stage.snapshot(), dict(self._positions)
            await asyncio.to_thread(self._checkpoint.save, parts, positions, result.outgoing)
            self._saved = positions

    def _within_spans(self, records: list[Record], spans: ExitStack) -> list[Record]:
        # One span per trace that comes in; the step sees it as the records' own trace and hands it on.
        children: dict[bytes, bytes] = {}
        for record in records:
            parent = record.header(TRACE_HEADER)
            if parent and parent not in children:
                span = self._telemetry.span(f"{self._stage.name}.step", parent.decode("ascii", "replace"))
                children[parent] = spans.enter_context(span).encode()
        return [_with_trace(record, children) for record in records]

    async def _append_unsent(self) -> None:
        while unsent := await asyncio.to_thread(self._checkpoint.unsent):
            await self._log.append([record for _, record in unsent])
            await asyncio.to_thread(self._checkpoint.sent, unsent[-1][0])

    async def _commit(self, consumer: Consumer) -> None:
        ours = {partition: self._saved[partition] for partition in consumer.assigned() if partition in self._saved}
        if not ours:
            return
        try:
            await consumer.commit(ours)
        except PartitionLostError:
            self._health.waiting(self._stage.name, "partitions moved to another member")

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return


def _with_trace(record: Record, children: dict[bytes, bytes]) -> Record:
    parent = record.header(TRACE_HEADER)
    if parent is None:
        return record
    headers = tuple((n, children.get(v, v) if n == TRACE_HEADER else v) for n, v in record.headers)
    return msgspec.structs.replace(record, headers=headers)
