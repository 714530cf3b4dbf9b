"""Dead letters: what could not be taken, why, what that means, and taking it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.batch_wire import BadBatchError, decode_batch
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import (
    DETAIL_HEADER,
    ORIGIN_OFFSET_HEADER,
    ORIGIN_TOPIC_HEADER,
    REASON_HEADER,
    Headers,
    Outgoing,
)
from ingest.contract.topics import ROLLUPS, dead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log

QUIET_S = 3.0
"""A log that says nothing for so long has no more letters, whatever offsets it promised."""

MOST_BYTES = 256 * 1024 * 1024

BATCH = 100

_OURS = (REASON_HEADER, DETAIL_HEADER, ORIGIN_TOPIC_HEADER, ORIGIN_OFFSET_HEADER)

_MEANINGS: dict[str, str] = {
    BatchRejection.NO_SIGNATURE: "Nobody signed it: something other than a gateway writes to the topic.",
    BatchRejection.UNKNOWN_GATEWAY: "Its key is not registered: add the gateway under [[gateways]], restart, replay.",
    BatchRejection.BAD_SIGNATURE: "It was changed on its way, or signed with another key than it names.",
    BatchRejection.MALFORMED: "It is not the wire format: compare the releases of gateway and centre.",
    BatchRejection.UNSUPPORTED_VERSION: "The gateway writes a version that this centre does not read: update, replay.",
    BatchRejection.FOREIGN_ORIGIN: "It speaks for another tenant, site or gateway than its key is registered for.",
    BatchRejection.COLUMN_MISSING: "A column is missing: compare the releases of gateway and centre.",
    BatchRejection.COLUMN_LENGTH: "Its columns differ in length: it was damaged before it was signed.",
    BatchRejection.INDEX_OUT_OF_BOUNDS: "A row names a device or metric that the batch does not list.",
    BatchRejection.BAD_VALUE: "A number in it cannot be: see the detail.",
    BatchRejection.BAD_NAME: "A name in it is one that no store would take.",
    BatchRejection.TOO_MANY_ROWS: "It is larger than a batch may be.",
    BatchRejection.LEDGER_UNBALANCED: "Its rows do not add up to what its ledger entry says.",
    BatchRejection.TOO_MANY_GAPS: "Too many batches of the gateway are missing before it: replay when they have arrived.",
    BatchRejection.STORE_REFUSED: "The store will not take some of its rows: mend what it says, then replay; "
    "the other rows are stored already.",
}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken. `topic`, `partition` and `origin_offset` are where it came from.

    `offset` is its place in the dead-letter topic, `at` (ms) when it got there; `headers` are the record's own.
    """

    topic: str
    partition: int
    origin_offset: int
    offset: int
    at: int
    reason: str
    detail: str
    key: bytes
    value: bytes | None
    headers: Headers

    def size(self) -> int:
        """Bytes it holds, about."""
        return len(self.value or b"") + sum(len(name) + len(value) for name, value in self.headers)

    def lacks_value(self) -> bool:
        """Whether the record was too large to be kept with its reason: it cannot be replayed from here."""
        return not self.value


async def dead_letters(log: Log, topic: str, *, most_bytes: int = MOST_BYTES) -> list[DeadLetter]:
    """The dead letters of `topic`, oldest first, each record once however often it died.

    When they are more than `most_bytes`, the newest. Raises LogUnavailableError.
    """
    letters: dict[tuple[int, int, str], DeadLetter] = {}
    held = 0
    async for record in _records(log, dead(topic)):
        letter = read_letter(record, topic)
        # Without an origin (another writer's letter) its own place tells it from the others.
        place = letter.origin_offset if letter.origin_offset >= 0 else ~record.offset
        if letters.setdefault((letter.partition, place, letter.reason), letter) is letter:
            held += letter.size()
        while held > most_bytes and len(letters) > 1:
            held -= letters.pop(next(iter(letters))).size()
    return list(letters.values())


async def replay(log: Log, letters: Sequence[DeadLetter]) -> int:
    """Append the records to their topics again, as they were: how many. Raises LogUnavailableError, RecordTooLargeError."""
    whole = [letter for letter in letters if not letter.lacks_value()]
    if whole:
        await log.append([Outgoing(letter.topic, letter.key, letter.value, letter.headers) for letter in whole])
    return len(whole)


def read_letter(record: Record, topic: str) -> DeadLetter:
    """A record of the dead-letter topic of `topic`, taken apart."""
    # Ours were added last: a record's author may have sent headers of the same names. (And never chooses the topic.)
    ours = dict(record.headers)
    partition, _, offset = ours.get(ORIGIN_OFFSET_HEADER, b"").decode("ascii", "replace").partition(":")
    return DeadLetter(
        topic=topic,
        partition=int(partition) if partition.isdecimal() else -1,
        origin_offset=int(offset) if offset.isdecimal() else -1,
        offset=record.offset,
        at=record.timestamp,
        reason=ours.get(REASON_HEADER, b"unknown").decode("utf-8", "replace"),
        detail=ours.get(DETAIL_HEADER, b"").decode("utf-8", "replace"),
        key=record.key,
        value=record.value,
        headers=tuple((name, value) for name, value in record.headers if name not in _OURS),
    )


def explain(letter: DeadLetter) -> list[str]:
    """What is known of a letter, for people: what it is, why it died, and what to do."""
    lines = [
        f"{letter.topic}, partition {letter.partition}, offset {letter.origin_offset}, key {letter.key.decode('utf-8', 'replace')}",
        f"{letter.reason}: {letter.detail}" if letter.detail else letter.reason,
    ]
    if letter.reason in _MEANINGS:
        lines.append(_MEANINGS[letter.reason])
    if letter.topic == ROLLUPS and letter.value:
        lines.append(_contents(letter.value))
    if letter.lacks_value():
        lines.append("Its value was not kept here; it cannot be replayed.")
    return lines


def _contents(value: bytes) -> str:
    try:
        batch = decode_batch(value)
    except BadBatchError as error:
        return f"{len(value)} bytes that are no batch: {error}"
    tenant, site, gateway, boot = batch.origin
    return (
        f"batch {batch.seq} of gateway {gateway} (boot {boot}) at {tenant}/{site}: "
        f"{len(batch)} rows of {len(batch.devices)} devices, net {batch.ledger.net} samples"
    )


async def _records(log: Log, topic: str) -> AsyncIterator[Record]:
    consumer = await log.subscribe((topic,), group=None, member="dead-letters")
    try:
        ends = {place: end for place, end in (await consumer.end_offsets()).items() if end}
        while ends and (found := await consumer.poll(BATCH, QUIET_S)):
            for record in found:
                yield record
                if record.offset + 1 >= ends.get(record.topic_partition, 0):
                    ends.pop(record.topic_partition, None)
    finally:
        await consumer.close()
