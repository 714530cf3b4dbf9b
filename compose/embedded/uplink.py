"""A site's uplink that can be cut: the Log port with a switch in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingest.contract.records import Outgoing, Record, TopicPartition
    from ingest.contract.topics import TopicSettings
    from ingest.runtime.log.port import Consumer, Log


class Uplink:
    """Passes everything through while it is up; while it is cut, nothing gets out and nothing comes in."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cut = False

    def cut(self) -> None:
        """From now on the log cannot be reached."""
        self._cut = True

    def mend(self) -> None:
        """The log can be reached again."""
        self._cut = False

    def check(self) -> None:
        """Raises LogUnavailableError while cut."""
        if self._cut:
            raise LogUnavailableError("the site's uplink is cut")

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """As the log does."""
        self.check()
        await self._log.ensure_topics(topics)

    async def append(self, records: Sequence[Outgoing]) -> None:
        """As the log does."""
        self.check()
        await self._log.append(records)

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        member: str,
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        """As the log does; the consumer is cut off with the uplink."""
        self.check()
        return _Downlink(self, await self._log.subscribe(topics, group=group, member=member, resume=resume))

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        """As the log does."""
        self.check()
        return await self._log.read_compacted(topic)

    async def close(self) -> None:
        """The log itself belongs to whoever made it."""


class _Downlink:
    def __init__(self, uplink: Uplink, consumer: Consumer) -> None:
        self._uplink, self._consumer = uplink, consumer

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._uplink.check()
        return await self._consumer.poll(max_records, timeout_s)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._uplink.check()
        await self._consumer.commit(offsets)

    def assigned(self) -> frozenset[TopicPartition]:
        return self._consumer.assigned()

    async def end_offsets(self) -> dict[TopicPartition, int]:
        self._uplink.check()
        return await self._consumer.end_offsets()

    async def close(self) -> None:
        await self._consumer.close()
