"""The Log port: what tidegate needs of Kafka, and of the embedded log that stands in for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingest.contract.records import Outgoing, Record, TopicPartition
    from ingest.contract.topics import TopicSettings


class LogUnavailableError(ConnectionError):
    """The log cannot be reached or does not answer: wait and try again."""


class RecordTooLargeError(ValueError):
    """One record exceeds what the log takes: it will never be taken."""


class PartitionLostError(RuntimeError):
    """The partition now belongs to another member: what was not committed will be processed there."""


class Consumer(Protocol):
    """Reads the partitions assigned to it, in order within each partition."""

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records`; empty after `timeout_s`. Raises LogUnavailableError."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember, per partition, the offset of the next record to process.

        Raises PartitionLostError when a partition was taken over, LogUnavailableError when it could not be said.
        """
        ...

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions that are ours now."""
        ...

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """For each assigned partition, the offset that the next record will get."""
        ...

    async def close(self) -> None:
        """Leave the group."""
        ...


class Log(Protocol):
    """A partitioned, durable log with consumer groups and compaction."""

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """Create what is missing; what exists is left as it is. Raises LogUnavailableError."""
        ...

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append all, in order per key; durable on return. After an error some may have been appended: append again.

        Raises LogUnavailableError, RecordTooLargeError.
        """
        ...

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        member: str,
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        """Join `group` as static member `member`; with group None, read all partitions from the start, alone.

        On assignment reading begins at `resume(partition)` if that is not None, else at the committed offset, else at
        the first record.
        """
        ...

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        """The newest record of each key, up to the end of the topic when called; tombstones are left out."""
        ...

    async def close(self) -> None:
        """Release what is held; consumers are closed by their owners."""
        ...
