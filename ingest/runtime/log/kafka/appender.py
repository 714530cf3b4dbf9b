"""Appending to Kafka: an idempotent producer that is replaced when it can go no further."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, ProducerClosed, RecordListTooLargeError

from ingest.runtime.log.kafka.errors import PATIENCE_S, finish, unavailable
from ingest.runtime.log.limits import MAX_RECORD_BYTES
from ingest.runtime.log.placement import place
from ingest.runtime.log.port import LogUnavailableError, RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka.structs import RecordMetadata

    from ingest.contract.records import Outgoing
    from ingest.runtime.log.kafka.config import KafkaConfig

    Delivery = asyncio.Future[RecordMetadata]

BATCH_BYTES = 256 * 1024


class Appender:
    """Appends with acks=all.

    The producer never gives up on what it was given, so that records cannot overtake each other. When a call runs out
    of patience its deliveries stay open, and the next call waits for them before it sends anything: memory stays
    bounded and the order per key holds, at the price of records that may be in the log twice.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._open: set[Delivery] = set()

    async def append(self, records: Sequence[Outgoing]) -> None:
        """All are on the brokers' disks (as far as acks=all goes) on return. Raises LogUnavailableError, RecordTooLargeError."""
        deliveries: list[Delivery] = []
        try:
            with unavailable("appending"):
                async with asyncio.timeout(PATIENCE_S):
                    producer = await self._ready()
                    for record in records:
                        deliveries.append(await _send(producer, record))  # noqa: PERF401 - those sent so far must be known
                    await asyncio.wait(deliveries)
        finally:
            self._open.update(delivery for delivery in deliveries if not delivery.done())
        await self._judge(deliveries)

    async def close(self) -> None:
        """Give up what is still open and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _give_up(producer)
            _failures(self._open)
            self._open.clear()
            await finish(producer.stop(), producer.client.close())

    async def _ready(self) -> AIOKafkaProducer:
        while self._open:
            await asyncio.wait(self._open)
            await self._replace_after(_failures(self._open))
            self._open = {delivery for delivery in self._open if not delivery.done()}
        async with self._starting:
            if self._producer is None:
                self._producer = await self._start()
        return self._producer

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._config.client(),
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            partitioner=lambda key, partitions, _available: place(key, sorted(partitions)),
            max_request_size=MAX_RECORD_BYTES + 1024,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=round(PATIENCE_S * 1000),
        )
        try:
            await producer.start()
        except BaseException:
            await finish(producer.stop(), producer.client.close())
            raise
        return producer

    async def _judge(self, deliveries: Iterable[Delivery]) -> None:
        failures = _failures(deliveries)
        await self._replace_after(failures)
        too_large = [f for f in failures if isinstance(f, MessageSizeTooLargeError | RecordListTooLargeError)]
        if too_large:
            raise RecordTooLargeError(
                f"Kafka does not take a record: {too_large[0]}; raise the topic's max.message.bytes"
            )
        if failures:
            raise LogUnavailableError(f"kafka: appending: {failures[0]}") from failures[0]

    async def _replace_after(self, failures: Sequence[BaseException]) -> None:
        # A batch that failed leaves a hole in its sequence numbers: this producer will not be listened to any more.
        if failures:
            await self.close()


def _give_up(producer: AIOKafkaProducer) -> None:
    # Otherwise stopping would wait for deliveries that may never happen. The client offers no public way.
    accumulator, sender = producer._message_accumulator, producer._sender  # noqa: SLF001
    if sender is not None and sender.sender_task is not None:
        # It may stumble over batches that are gone, and its own look at that stumbles, too.
        sender.sender_task.remove_done_callback(sender._fail_all)  # noqa: SLF001
        sender.sender_task.add_done_callback(lambda task: _failures([task]))
    queued = [batch for queue in accumulator._batches.values() for batch in queue]  # noqa: SLF001
    # When a batch fails that waits to be sent again, the client looks for it among those under way and must find it.
    accumulator._pending_batches.update(queued)  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    _failures(batch._drain_waiter for batch in queued)  # noqa: SLF001 - nobody else asks for these


async def _send(producer: AIOKafkaProducer, record: Outgoing) -> Delivery:
    delivery: Delivery = await producer.send(
        record.topic, value=record.value, key=record.key, headers=list(record.headers)
    )
    return delivery


def _failures(deliveries: Iterable[asyncio.Future[Any]]) -> list[BaseException]:
    done = [delivery for delivery in deliveries if delivery.done() and not delivery.cancelled()]
    return [failure for delivery in done if (failure := delivery.exception()) is not None]
