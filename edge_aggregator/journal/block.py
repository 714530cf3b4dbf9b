"""A block: what one commit wrote, or several that were merged, as one row that is bound to its place."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_aggregator.journal.codec import CodecError
from edge_aggregator.journal.content import NO_NAMES, NewNames, unpack_content
from edge_aggregator.journal.seal import SealError

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import Notes, Samples
    from edge_aggregator.journal.content import Content
    from edge_aggregator.journal.seal import Keyring

NOWHERE = (1 << 62, -1)
"""The time range of a block without samples: it overlaps nothing."""

_NUMBERS = struct.Struct("<10q")


class Numbers(NamedTuple):
    """What is known of a block without looking inside; times in ms.

    It stands for the positions `position` to `last`. `received` counts samples with the rejected ones, `before` those of
    all blocks that were ever written before it; `taken` is the newest arrival.
    """

    position: int
    last: int
    min_ts: int
    max_ts: int
    samples: int
    received: int
    before: int
    taken: int
    key: int

    def place(self, first: int) -> bytes:
        """The numbers and the first position of the file, as what a block is bound to. Raises struct.error."""
        return _NUMBERS.pack(first, *self)


class Row(NamedTuple):
    """A block as it stands in its file."""

    numbers: Numbers
    head: int
    sealed: bytes


class Block(NamedTuple):
    """A block that is sound; without `numbers` it is one commit."""

    position: int
    samples: Samples
    notes: Notes
    numbers: Numbers | None = None
    names: NewNames = NO_NAMES

    @property
    def last(self) -> int:
        """The last position that it stands for."""
        return self.numbers.last if self.numbers else self.position

    def before(self) -> int | None:
        """How many samples were received before it; None when that is not known."""
        return self.numbers.before if self.numbers else None


class LostBlock(NamedTuple):
    """Blocks that cannot be read, from `position` to `last`.

    `received` and `samples` are None where the row's numbers are not sound either: then what comes after says how many.
    """

    position: int
    reason: str
    received: int | None = None
    samples: int | None = None
    min_ts: int = 0
    max_ts: int = NOWHERE[0]
    last: int = 0
    preceding: int | None = None

    def before(self) -> int | None:
        """How many samples were received before it; None when that is not known."""
        return self.preceding


class LostSpan(msgspec.Struct, frozen=True, array_like=True):
    """What is told of lost blocks: positions `first` to `last`, why, and how many samples where the row still says so."""

    first: int
    last: int
    reason: str
    received: int | None = None


def to_row(packed: bytes, numbers: Numbers, first: int, ring: Keyring) -> Row:
    """What is written into the file that begins at `first`, from packed content."""
    place = numbers.place(first)
    return Row(numbers, ring.sum(numbers.key, place), ring.seal(numbers.key, place, packed))


def numbered(content: Content, positions: tuple[int, int], before: int, key: int) -> Numbers:
    """The numbers of a block of these positions, both included."""
    ts = content.samples.ts
    times = (int(ts.min()), int(ts.max())) if len(ts) else NOWHERE
    return Numbers(*positions, *times, len(ts), content.decoded().received(), before, content.notes.taken, key)


def is_sound(numbers: Numbers, head: int, first: int, ring: Keyring) -> bool:
    """Whether a row's numbers are what was written. Raises UnknownKeyError."""
    try:
        return ring.sum(numbers.key, numbers.place(first)) == head
    except (struct.error, TypeError):
        return False


def open_row(numbers: Numbers, sealed: bytes, first: int, ring: Keyring) -> Block | LostBlock:
    """What was written, or why it cannot be read; `numbers` are sound."""
    try:
        content = unpack_content(ring.unseal(numbers.key, numbers.place(first), sealed))
    except (CodecError, SealError, TypeError) as error:
        return as_lost(numbers, str(error)[:200])
    return Block(numbers.position, content.samples, content.notes, numbers, content.names)


def as_lost(numbers: Numbers, reason: str) -> LostBlock:
    """A block that counts as lost, whatever it looks like."""
    return LostBlock(
        numbers.position,
        reason,
        numbers.received,
        numbers.samples,
        numbers.min_ts,
        numbers.max_ts,
        numbers.last,
        numbers.before,
    )
