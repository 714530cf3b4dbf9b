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
        """Up to `max_records`; empty after `timeout_s`. Raises LogUnavailableError.

        Membership is kept up while polling: partitions come and go here, and a member that stops polling loses them.
        With `max_records` 0 that is all it does: for a member whose records have to wait.
        """
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember, per partition, the offset of the next record to process.

        Raises PartitionLostError when a partition was taken over (nothing is remembered for that one),
        LogUnavailableError when it could not be said, ValueError from a consumer without a group.
        """
        ...

    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions that are ours now."""
        ...

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """For each assigned partition, the offset that the next record will get."""
        ...

    async def close(self) -> None:
        """Leave the group, so that the others take over at once; polling a closed consumer is LogUnavailableError."""
        ...


class Log(Protocol):
    """A partitioned, durable log with consumer groups and compaction."""

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """Create what is missing; what exists is left as it is. Raises LogUnavailableError.

        Every other method raises LogUnavailableError for a topic that was never created.
        """
        ...

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append all, in order for keys that are equal up to their first slash; durable on return. After an error some may have been appended: append again.

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
        the first record; an offset beyond the end is one of another log, and reading begins at the first record.
        A `member` that joins again takes the partitions of its earlier life over at once. Raises LogUnavailableError.
        """
        ...

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        """The newest record of each key, up to the end of the topic when called; tombstones are left out.

        Raises LogUnavailableError.
        """
        ...

    async def close(self) -> None:
        """Release what is held; consumers are closed by their owners."""
        ...
