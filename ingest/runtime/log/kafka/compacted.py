"""Reading a Kafka topic as a table: the newest record of each key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.structs import TopicPartition as KafkaPartition

from ingest.runtime.log.kafka.consumer import to_record
from ingest.runtime.log.kafka.errors import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import AIOKafkaConsumer

    from ingest.contract.records import Record, TopicPartition


async def read_table(client: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[bytes, Record]:
    """The newest record of each key up to the partitions' ends as they are now, tombstones left out.

    Raises TimeoutError when nothing arrives for PATIENCE_S, and the client's errors.
    """
    own = [KafkaPartition(*partition) for partition in partitions]
    client.assign(own)
    newest: dict[bytes, Record] = {}
    async with asyncio.timeout(PATIENCE_S) as patience:
        unread = await _unread(client, own)
        while unread:
            if await _read_some(client, newest):
                patience.reschedule(asyncio.get_running_loop().time() + PATIENCE_S)
            # A position also moves over records that compaction removed.
            unread = {p: end for p, end in unread.items() if await client.position(p) < end}
    return {key: record for key, record in newest.items() if record.value is not None}


async def _unread(client: AIOKafkaConsumer, partitions: list[KafkaPartition]) -> dict[KafkaPartition, int]:
    ends = await client.end_offsets(partitions)
    first = await client.beginning_offsets(partitions)
    return {partition: end for partition, end in ends.items() if end > first[partition]}


async def _read_some(client: AIOKafkaConsumer, newest: dict[bytes, Record]) -> bool:
    found = await client.getmany(timeout_ms=200)
    for messages in found.values():
        for record in map(to_record, messages):
            newest[record.key] = record
    return bool(found)
