"""What is appended to a topic, and how an event becomes one: CloudEvents 1.0 binary headers and W3C traceparent."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = tuple[tuple[str, bytes], ...]

SIGNATURE_HEADER = "tidegate_signature"
KEY_HEADER = "tidegate_key"
REASON_HEADER = "tidegate_reason"
DETAIL_HEADER = "tidegate_detail"
ORIGIN_TOPIC_HEADER = "tidegate_topic"
ORIGIN_OFFSET_HEADER = "tidegate_offset"
TRACE_HEADER = "traceparent"

T = TypeVar("T")


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Outgoing(msgspec.Struct, frozen=True):
    """A record to append; `value` None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


class Record(msgspec.Struct, frozen=True):
    """A record as read; `timestamp` in ms is when the log took it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers
    timestamp: int

    @property
    def topic_partition(self) -> TopicPartition:
        """Where it was read."""
        return TopicPartition(self.topic, self.partition)

    @property
    def trace(self) -> str:
        """Its `traceparent`, empty without one."""
        return (self.header(TRACE_HEADER) or b"").decode("ascii", "replace")

    def header(self, name: str) -> bytes | None:
        """The first header of that name, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


_SPEC_VERSION = ("ce_specversion", b"1.0")
_TIMES = 64
"""So many times are kept as text: records that are made together often share theirs."""
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: no calendar goes on, and no time that is taken from outside is later."""


@functools.lru_cache(_TIMES)
def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, held between 1970 and 9999."""
    ms = min(max(ms, 0), LATEST_MS)
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cloud_event_headers(
    *, event_id: str, source: str, event_type: str, time: int, content_type: str, trace: str | None
) -> Headers:
    """CloudEvents 1.0 Kafka binary mode headers, and `traceparent` when there is a trace."""
    identity = (_SPEC_VERSION, ("ce_id", event_id.encode()))
    shared = _shared_headers(source, event_type, time, content_type)
    return (*identity, *shared, (TRACE_HEADER, trace.encode())) if trace else identity + shared


@functools.lru_cache(_TIMES)
def _shared_headers(source: str, event_type: str, time: int, content_type: str) -> Headers:
    return (
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_time", rfc3339(time).encode()),
        ("content-type", content_type.encode()),
    )


def event_record(
    topic: str, key: str, event: msgspec.Struct, *, event_id: str, source: str, time: int, trace: str | None = None
) -> Outgoing:
    """An event as a JSON record; `event_id` must be equal when the same event is written again."""
    headers = cloud_event_headers(
        event_id=event_id,
        source=source,
        event_type=f"tidegate.{topic}",
        time=time,
        content_type="application/json",
        trace=trace,
    )
    return Outgoing(topic, key.encode(), msgspec.json.encode(event), headers)


def read_event(record: Record, kind: type[T]) -> T | None:
    """The record's event, or None when it is a tombstone or cannot be read as `kind`."""
    if record.value is None:
        return None
    try:
        return msgspec.json.decode(record.value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def dead_letter(record: Record, reason: str, detail: str, dead_topic: str) -> Outgoing:
    """`record` as a dead letter: value and headers kept, with the reason and where it came from."""
    extra: Iterable[tuple[str, bytes]] = (
        (REASON_HEADER, reason.encode()),
        (DETAIL_HEADER, detail.encode()),
        (ORIGIN_TOPIC_HEADER, record.topic.encode()),
        (ORIGIN_OFFSET_HEADER, f"{record.partition}:{record.offset}".encode()),
    )
    return Outgoing(dead_topic, record.key, record.value, (*record.headers, *extra))
