"""The door's shell: poll, see each record through, save the accounts, commit."""

from __future__ import annotations

import asyncio
import random
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.records import DETAIL_HEADER
from ingest.contract.topics import ACCOUNTS, ROLLUPS
from ingest.door.book import Book
from ingest.door.counts import Counts
from ingest.door.keeping import DrainingError, Keeper
from ingest.door.passage import Outcome, Passage
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.limits import MAX_RECORD_BYTES, record_size
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.records import Outgoing, Record, TopicPartition
    from ingest.door.config import IngestConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.service import Service
    from ingest.runtime.store.port import Store
    from ingest.runtime.telemetry import Telemetry


def build_ingest(
    config: IngestConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    store: Store,
    health: Health,
    telemetry: Telemetry,
) -> Service:
    """The central door, ready to run."""
    return IngestDoor(config, gateways, clock=clock, log=log, store=store, health=health, telemetry=telemetry)


class Lane(NamedTuple):
    """What became of one partition's records of a turn, in order; `following` is the offset after the last of them."""

    place: TopicPartition
    following: int
    outcomes: list[Outcome]


class IngestDoor:
    """Consumes rollup batches until it is drained. A turn's order is store, dead letters, accounts, offsets:

    after a crash at any point the same records come again, those that an account contains are passed over, and the
    rest is written to the store as before.
    """

    name = "ingest"

    def __init__(
        self,
        config: IngestConfig,
        gateways: Gateways,
        *,
        clock: Clock,
        log: Log,
        store: Store,
        health: Health,
        telemetry: Telemetry,
    ) -> None:
        self._config, self._clock, self._log, self._health = config, clock, log, health
        self._draining = asyncio.Event()
        self._book = Book()
        self._positions: dict[TopicPartition, int] = {}
        self._keeper = Keeper(store, health=health, draining=self._draining, make_backoff=self._make_backoff)
        self._passage = Passage(gateways, self._book, self._keeper, telemetry, clock)
        self._counts = Counts(telemetry, self.name)

    def drain(self) -> None:
        """Finish the batch under way (unless it waits for the store), save, commit, and let `run` return."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained; while the log or the store is away: wait with jittered backoff and say so."""
        self._health.waiting(self.name, "starting")
        backoff = self._make_backoff()
        while not self._draining.is_set():
            try:
                await self._keeper.ready()
                await self._run_connected(backoff)
            except DrainingError:
                break
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
                await drained_within(self._draining, backoff.next())

    async def _run_connected(self, backoff: Backoff) -> None:
        self._positions.clear()  # what was not saved when the connection broke will be read again
        consumer = await self._log.subscribe((ROLLUPS,), group=self._config.group, member=self._config.member)
        try:
            while not self._draining.is_set():
                await self._turn(consumer)
                self._health.ready(self.name)
                backoff.reset()
        finally:
            await consumer.close()

    async def _turn(self, consumer: Consumer) -> None:
        records = await consumer.poll(self._config.max_records, self._config.poll_s)
        await self._follow_assignment(consumer, records)
        lanes = await self._see_through(consumer, records)
        letters = [outcome.letter for lane in lanes for outcome in lane.outcomes if outcome.letter]
        await self._append([*map(_fitting, letters), *self._book.unsaved(self._clock.now_ms())])
        self._book.saved()
        await self._commit(consumer, lanes)
        self._show(consumer, records, lanes)

    async def _follow_assignment(self, consumer: Consumer, records: Sequence[Record]) -> None:
        # A partition whose records do not go on where we were has been somebody else's meanwhile.
        assigned = consumer.assigned()
        first = {record.topic_partition: record.offset for record in reversed(records)}
        stayed = {p for p, position in self._positions.items() if p in assigned and first.get(p, position) == position}
        if assigned <= stayed and self._positions.keys() <= assigned:
            return
        saved = await self._log.read_compacted(ACCOUNTS)
        self._book.restore(saved.values(), stayed)
        self._positions = {p: self._positions[p] if p in stayed else first.get(p, 0) for p in assigned}

    async def _see_through(self, consumer: Consumer, records: Sequence[Record]) -> list[Lane]:
        # Partitions side by side, so that one slow write does not hold up all; within a partition in order.
        ordered = sorted(records, key=lambda record: (record.topic_partition, record.offset))
        lanes = {
            asyncio.create_task(self._lane(place, list(group))): place
            for place, group in groupby(ordered, key=lambda record: record.topic_partition)
        }
        try:
            await self._accompany(consumer, lanes)
            for lane, place in lanes.items():
                if place not in consumer.assigned():
                    self._give_up(lane, place)
            return [lane.result() for lane, place in lanes.items() if place in self._positions]
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _accompany(self, consumer: Consumer, lanes: dict[asyncio.Task[Lane], TopicPartition]) -> None:
        pending = set(lanes)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=self._config.keep_up_s)
            if pending:
                await consumer.poll(0, 0.0)
            for lane in [lane for lane in pending if lanes[lane] not in consumer.assigned()]:
                self._give_up(lane, lanes[lane])

    def _give_up(self, lane: asyncio.Task[Lane], place: TopicPartition) -> None:
        # Its new owner reads the same records: nothing of ours may be written after what they write.
        lane.cancel()
        self._book.drop({place})
        self._positions.pop(place, None)

    async def _lane(self, place: TopicPartition, records: Sequence[Record]) -> Lane:
        outcomes: list[Outcome] = []
        following = records[0].offset
        for record in records:
            if self._draining.is_set():
                break
            try:
                outcomes.append(await self._passage.take(record))
            except DrainingError:
                break
            following = record.offset + 1
        return Lane(place, following, outcomes)

    async def _append(self, records: Sequence[Outgoing]) -> None:
        if records:
            await self._log.append(records)

    async def _commit(self, consumer: Consumer, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            self._positions[lane.place] = lane.following
        try:
            if lanes:
                await consumer.commit({lane.place: lane.following for lane in lanes})
        except PartitionLostError:
            self._positions.clear()

    def _show(self, consumer: Consumer, records: Sequence[Record], lanes: Sequence[Lane]) -> None:
        self._counts.outcomes(outcome for lane in lanes for outcome in lane.outcomes)
        self._counts.accounts(self._book, consumer.assigned())
        if records:
            newest = max(record.timestamp for record in records)
            self._counts.lag(max(0, self._clock.now_ms() - newest) / 1000)

    def _make_backoff(self) -> Backoff:
        first_s, most_s = self._config.store_retry_first_s, self._config.store_retry_most_s
        return Backoff(random.Random(), first_s, most_s)  # noqa: S311 - jitter, not a secret


def _fitting(letter: Outgoing) -> Outgoing:
    # A batch just below the limit is above it with its reason: the letter then says where the batch is still to be found.
    if record_size(letter) <= MAX_RECORD_BYTES:
        return letter
    note = b"; too large to be kept here with its reason: see the origin's offset"
    headers = tuple((name, value + note if name == DETAIL_HEADER else value) for name, value in letter.headers)
    return msgspec.structs.replace(letter, value=b"", headers=headers)
