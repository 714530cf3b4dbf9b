"""The thin shell around every central worker: poll, step, checkpoint, append, commit."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from ingest.contract.records import TRACE_HEADER, Outgoing
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.checkpoint import Checkpoint
    from ingest.runtime.clock import Clock
    from ingest.runtime.handover import Handover
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry


MAX_RECORDS = 2000
"""Of one step, if nothing else is asked for."""


class StepResult(msgspec.Struct, frozen=True):
    """What a step led to.

    The state is saved, with the offsets it stands for, when there is anything to append or `changed` says so; until then
    a crash leads to the same records being taken again, from the state saved last. `more`: the next step need not wait for records.
    """

    outgoing: list[Outgoing] = []
    changed: bool = False
    more: bool = False


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


@runtime_checkable
class PartitionedStage(Stage, Protocol):
    """A stage whose state belongs to the partitions of the one topic that it consumes, each of which stands for itself."""

    def partition_of(self, part: str) -> int | None:
        """Of a part of its snapshots: the partition that it belongs to, None where it belongs to none."""
        ...

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition: another member's state of it follows in `restore`."""
        ...


class StageWorker:
    """Runs a stage against a log until it is told to drain.

    `everywhere`: compacted topics that every member of the group reads as a whole, before all else and as they go on.
    `handover`: where the states of partitions are left for, and taken from, other members; for a `PartitionedStage`.
    """

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
        max_records: int = MAX_RECORDS,
        everywhere: Sequence[str] = (),
        handover: Handover | None = None,
    ) -> None:
        self._stage, self._log, self._checkpoint, self._clock = stage, log, checkpoint, clock
        self._health, self._telemetry, self._group, self._member = health, telemetry, group, member
        self._tick_s, self._max_records = tick_s, max_records
        self._everywhere, self._handover = everywhere, handover
        self._draining, self._more = asyncio.Event(), False
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        self._positions: dict[TopicPartition, int] = {}
        self._saved: dict[TopicPartition, int] = {}
        self._taken: dict[str, bytes] = {}

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
                await drained_within(self._draining, self._backoff.next())
        await self._save([])

    async def _run_connected(self) -> None:
        await self._append_unsent()
        # After a lost connection the state in memory is ahead of the saved one: its own positions are the truth.
        self._positions = self._saved | self._positions
        async with AsyncExitStack() as consumers:
            told = [await self._told_to_all(topic, consumers) for topic in self._everywhere]
            ours = await self._log.subscribe(
                self._stage.topics, group=self._group, member=self._member, resume=self._resume
            )
            consumers.push_async_callback(ours.close)
            self._health.ready(self._stage.name)
            while not self._draining.is_set():
                await self._turn(ours, told)
            await self._leave(ours)

    async def _told_to_all(self, topic: str, consumers: AsyncExitStack) -> Consumer:
        so_far = (await self._log.read_compacted(topic)).values()
        await self._process(self._fresh(sorted(so_far, key=lambda r: (r.partition, r.offset))))
        reader = await self._log.subscribe([topic], group=None, member=self._member, resume=self._positions.get)
        consumers.push_async_callback(reader.close)
        return reader

    async def _turn(self, consumer: Consumer, told: Sequence[Consumer]) -> None:
        records = [record for one in told for record in await one.poll(self._max_records, 0.0)]
        records = self._fresh(records + await consumer.poll(self._max_records, 0.0 if self._more else self._tick_s))
        await self._process(records)
        await self._append_unsent()
        await self._hand_over(consumer)
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
        self._more = result.more
        for record in records:
            self._positions[record.topic_partition] = record.offset + 1
        if result.outgoing or result.changed or self._taken:
            await self._save(result.outgoing)

    async def _save(self, outgoing: Sequence[Outgoing]) -> None:
        parts, positions = self._taken | dict(self._stage.snapshot()), dict(self._positions)
        self._taken = {}
        await asyncio.to_thread(self._checkpoint.save, parts, positions, outgoing)
        self._saved = positions

    def _resume(self, place: TopicPartition) -> int | None:
        # The partition is ours from now on: from our own state of it, or from a newer one that another member has left.
        if self._handover is not None and isinstance(self._stage, PartitionedStage):
            left = self._handover.newer(place, self._positions.get(place))
            if left is not None:
                self._stage.forget(place.partition)
                self._stage.restore(left.parts)
                self._taken |= left.parts
                self._positions[place] = left.position
        return self._positions.get(place)

    async def _hand_over(self, consumer: Consumer) -> None:
        if self._handover is not None and self._handover.due(now := self._clock.now_ms()):
            await asyncio.to_thread(self._handover.leave, self._checkpoint, consumer.assigned(), now)

    async def _leave(self, consumer: Consumer) -> None:
        # In order: what is known is saved and left to the others before they get the partitions.
        await self._save([])
        if self._handover is not None:
            now = self._clock.now_ms()
            await asyncio.to_thread(self._handover.leave, self._checkpoint, consumer.assigned(), now)
        await self._commit(consumer)

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
        while (unsent := self._checkpoint.unsent()).records:
            await self._log.append(unsent.records)
            await asyncio.to_thread(self._checkpoint.sent, unsent.up_to)

    async def _commit(self, consumer: Consumer) -> None:
        # Who gets a partition without finding its state must not begin behind what is in that state.
        kept = self._saved if self._handover is None else self._handover.left
        ours = {partition: kept[partition] for partition in consumer.assigned() if partition in kept}
        if not ours:
            return
        try:
            await consumer.commit(ours)
        except PartitionLostError:
            self._health.waiting(self._stage.name, "partitions moved to another member")


def _with_trace(record: Record, children: dict[bytes, bytes]) -> Record:
    parent = record.header(TRACE_HEADER)
    if parent is None:
        return record
    headers = tuple((n, children.get(v, v) if n == TRACE_HEADER else v) for n, v in record.headers)
    return msgspec.structs.replace(record, headers=headers)
