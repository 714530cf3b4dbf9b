"""How large one record may be: the same in every adapter, so that what the embedded log takes Kafka takes too."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from ingest.runtime.log.port import RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.contract.records import Outgoing

MAX_RECORD_BYTES = 1_047_552
"""Key, value, headers and overhead of one record: 1 KiB below the 1 MiB that Kafka takes unless told otherwise."""

_OVERHEAD = 128
_HEADER_OVERHEAD = 10
"""Kafka's record batch spends 61 bytes, a record up to 21, a header up to 10 on lengths (KIP-98); rounded up."""


def record_size(record: Outgoing) -> int:
    """Bytes of one record on its way, before compression."""
    headers = sum(len(name.encode()) + len(value) + _HEADER_OVERHEAD for name, value in record.headers)
    return _OVERHEAD + len(record.key) + len(record.value or b"") + headers


def most_size(record: Outgoing) -> int:
    """At least `record_size`, and found several times as fast: no character of UTF-8 has more than four bytes."""
    headers = 4 * sum(map(len, chain.from_iterable(record.headers))) + _HEADER_OVERHEAD * len(record.headers)
    return _OVERHEAD + len(record.key) + len(record.value or b"") + headers


def check_sizes(records: Iterable[Outgoing]) -> None:
    """Raises RecordTooLargeError that names the first record which no log would take."""
    for record in records:
        if most_size(record) <= MAX_RECORD_BYTES:
            continue
        size = record_size(record)
        if size > MAX_RECORD_BYTES:
            raise RecordTooLargeError(
                f"a record for {record.topic} is {size} bytes, at most {MAX_RECORD_BYTES}: split it before appending"
            )
