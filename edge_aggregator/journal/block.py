"""A block: what one commit wrote, as one row, with checksums of its own.

SQLite reads a flipped bit in a page back in silence, so the row's numbers (`head`) and its bytes (`body`) are each
covered by a CRC-32 that also covers the block's place.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import msgspec

from edge_aggregator.decode.decoded import Decoded, Notes, Samples
from edge_aggregator.journal.codec import CodecError, pack, unpack

NOWHERE = (1 << 62, -1)
"""The time range of a block without samples: it overlaps nothing."""

_HEAD = struct.Struct("<6q")
_PLACE = struct.Struct("<q")
_ENCODER = msgspec.msgpack.Encoder()
_NOTES = msgspec.msgpack.Decoder(Notes)


class Row(NamedTuple):
    """A block as it stands in its file; times in ms, `received` counts samples with the rejected ones."""

    position: int
    min_ts: int
    max_ts: int
    samples: int
    received: int
    taken: int
    head: int
    body: int
    columns: bytes
    notes: bytes


class Block(NamedTuple):
    """A block that is sound."""

    position: int
    samples: Samples
    notes: Notes


class LostBlock(NamedTuple):
    """A block that cannot be read; `received` and `samples` are None where even the row's numbers are not sound."""

    position: int
    reason: str
    received: int | None = None
    samples: int | None = None
    min_ts: int = 0
    max_ts: int = NOWHERE[0]


def to_row(position: int, decoded: Decoded) -> Row:
    """What is written for one commit."""
    samples, notes = decoded
    times = (int(samples.ts.min()), int(samples.ts.max())) if len(samples.ts) else NOWHERE
    columns, text = pack(samples), _ENCODER.encode(notes)
    numbers = (position, *times, len(samples.ts), decoded.received(), notes.taken)
    return Row(*numbers, zlib.crc32(_HEAD.pack(*numbers)), _body_sum(position, columns, text), columns, text)


def from_row(row: Row) -> Block | LostBlock:
    """What was written, or why it cannot be read."""
    try:
        sound = zlib.crc32(_HEAD.pack(*row[:6])) == row.head
    except struct.error:
        sound = False
    if not sound:
        return LostBlock(row.position, "the row's checksum does not match")
    lost = LostBlock(row.position, "", row.received, row.samples, row.min_ts, row.max_ts)
    try:
        if _body_sum(row.position, row.columns, row.notes) != row.body:
            return lost._replace(reason="the checksum does not match")
        return Block(row.position, unpack(row.columns), _NOTES.decode(row.notes))
    except (CodecError, msgspec.DecodeError, TypeError) as error:
        return lost._replace(reason=str(error)[:200])


def as_lost(block: Block | LostBlock, reason: str) -> LostBlock:
    """A block that counts as lost, whatever it looks like now."""
    if isinstance(block, LostBlock):
        return block
    received = Decoded(block.samples, block.notes).received()
    ts = block.samples.ts
    times = (int(ts.min()), int(ts.max())) if len(ts) else NOWHERE
    return LostBlock(block.position, reason, received, len(ts), *times)


def _body_sum(position: int, columns: bytes, notes: bytes) -> int:
    return zlib.crc32(notes, zlib.crc32(columns, zlib.crc32(_PLACE.pack(position))))
