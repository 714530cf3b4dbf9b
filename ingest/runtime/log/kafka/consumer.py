"""Consumers of Kafka: a static member of a group, or somebody who reads everything alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import TopicPartition as KafkaPartition

from ingest.contract.records import Record, TopicPartition
from ingest.runtime.log.kafka.errors import PATIENCE_S, finish, unavailable
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord

    from ingest.runtime.clock import Clock
    from ingest.runtime.log.kafka.config import KafkaConfig

    Resume = Callable[[TopicPartition], int | None]

SILENCE_S = 3.0
"""After so long without an answer to a fetch (the brokers give one every two seconds) they are asked for a sign of life."""

FETCH_BYTES = 16 * 1024 * 1024


async def open_client(config: KafkaConfig, *, group: str | None = None, member: str = "") -> AIOKafkaConsumer:
    """A connected client that reads nothing yet. Raises LogUnavailableError."""
    # The assignor keeps its memory on the class: two members in one process must not share one.
    assignor = type("OwnStickyAssignor", (StickyPartitionAssignor,), {})
    client = AIOKafkaConsumer(
        **config.client(),
        **config.paces(),
        group_id=group,
        group_instance_id=member if group is not None else None,
        partition_assignment_strategy=(assignor,),
        session_timeout_ms=round(config.session_timeout_s * 1000),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=FETCH_BYTES,
        # The client's heartbeats keep the membership; it would refuse to rejoin after so long without fetching records.
        max_poll_interval_ms=(1 << 31) - 1,
    )
    try:
        with unavailable("connecting"):
            async with asyncio.timeout(PATIENCE_S):
                await client.start()
    except BaseException:
        await close_client(client)
        raise
    return client


async def close_client(client: AIOKafkaConsumer) -> None:
    """Disconnect; leave the group if the client is in one."""
    if client._coordinator is not None and client._group_id is not None:  # noqa: SLF001 - see below
        # The client lets a static member stay in its group when it is closed, for the next start. Whoever closes in
        # order wants the others to take over now; who dies keeps its partitions until the session times out.
        client._coordinator._group_instance_id = None  # noqa: SLF001 - the client offers no public way
    await finish(client.stop(), client._client.close())  # noqa: SLF001 - stop() leaves it open when it fails


class KafkaConsumer:
    """Reads the partitions assigned to it; notices when the brokers do not answer any more."""

    def __init__(self, client: AIOKafkaConsumer, clock: Clock, *, grouped: bool) -> None:
        self._client, self._clock, self._grouped = client, clock, grouped
        self._heard_at, self._last_answer = clock.monotonic(), 0
        self._closed = False

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records`; empty after `timeout_s`. Raises LogUnavailableError."""
        if self._closed:
            raise LogUnavailableError("this consumer was closed: subscribe again")
        with unavailable("polling"):
            records = await self._fetch(max_records, timeout_s) if max_records else []
            if not records:
                await self._require_answers()
        return records

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember the offsets. Raises PartitionLostError, LogUnavailableError; ValueError without a group."""
        if not self._grouped:
            raise ValueError("a consumer without a group has nothing to commit to: subscribe with a group")
        with unavailable("committing"):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._client.commit({KafkaPartition(*place): offset for place, offset in offsets.items()})
            except (IllegalStateError, CommitFailedError) as error:
                places = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(offsets))
                raise PartitionLostError(f"{places}: no longer held, the group has rebalanced") from error

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions that are ours now."""
        return frozenset(TopicPartition(*partition) for partition in self._client.assignment())

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """For each assigned partition, the offset that the next record will get. Raises LogUnavailableError."""
        with unavailable("asking for offsets"):
            async with asyncio.timeout(PATIENCE_S):
                ends = await self._client.end_offsets(list(self._client.assignment()))
        return {TopicPartition(*partition): end for partition, end in ends.items()}

    async def close(self) -> None:
        """Leave the group and disconnect, within a few seconds even when the brokers are away."""
        if not self._closed:
            self._closed = True
            await close_client(self._client)

    async def _fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        await asyncio.sleep(0)  # with nothing to wait for the client would never let its own tasks run
        try:
            # While a rebalance goes on the client waits for its end, however long that takes.
            async with asyncio.timeout(timeout_s + 0.1):
                found = await self._client.getmany(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        except TimeoutError:
            return []
        return [to_record(message) for messages in found.values() for message in messages]

    async def _require_answers(self) -> None:
        answers = [self._client.last_poll_timestamp(partition) or 0 for partition in self._client.assignment()]
        if answers and max(answers) != self._last_answer:
            self._last_answer, self._heard_at = max(answers), self._clock.monotonic()
        if self._clock.monotonic() - self._heard_at > SILENCE_S:
            async with asyncio.timeout(SILENCE_S):
                await self._client.topics()
            self._heard_at = self._clock.monotonic()


class _Resume(ConsumerRebalanceListener):  # type: ignore[misc]  # the client ships no types
    """Begins newly assigned partitions where the caller wants them."""

    def __init__(self, client: AIOKafkaConsumer, resume: Resume) -> None:
        self._client, self._resume = client, resume

    def on_partitions_revoked(self, revoked: Collection[KafkaPartition]) -> None:
        """Nothing: what was not committed is read again by whoever gets them."""

    def on_partitions_assigned(self, assigned: Collection[KafkaPartition]) -> None:
        """Called before the first fetch from `assigned`."""
        seek(self._client, assigned, self._resume)


def seek(client: AIOKafkaConsumer, partitions: Collection[KafkaPartition], resume: Resume) -> None:
    """Set the position of each partition for which `resume` knows one."""
    for partition in partitions:
        offset = resume(TopicPartition(*partition))
        if offset is not None:
            client.seek(partition, offset)


async def subscribe_member(
    config: KafkaConfig, clock: Clock, topics: Sequence[str], *, group: str, member: str, resume: Resume
) -> KafkaConsumer:
    """A static member of the group; partitions arrive while it polls. Raises LogUnavailableError."""
    client = await open_client(config, group=group, member=member)
    client.subscribe(list(topics), listener=_Resume(client, resume))
    return KafkaConsumer(client, clock, grouped=True)


async def subscribe_alone(
    config: KafkaConfig, clock: Clock, partitions: Sequence[TopicPartition], resume: Resume
) -> KafkaConsumer:
    """A reader of these partitions from their first records. Raises LogUnavailableError."""
    client = await open_client(config)
    own = [KafkaPartition(*partition) for partition in partitions]
    client.assign(own)
    seek(client, own, resume)
    return KafkaConsumer(client, clock, grouped=False)


def to_record(message: ConsumerRecord) -> Record:
    """A message as the port's record; a missing key or header value becomes empty."""
    headers = tuple((name, value or b"") for name, value in message.headers)
    return Record(
        message.topic, message.partition, message.offset, message.key or b"", message.value, headers, message.timestamp
    )
