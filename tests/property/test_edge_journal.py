"""Columns and blocks: lossless to the last bit, and no damage passes for data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_aggregator.decode.decoded import DeadLetter, Notes, Samples
from edge_aggregator.journal.block import Block, LostBlock, Numbers, Row, is_sound, numbered, open_row, to_row
from edge_aggregator.journal.codec import CodecError, pack, pack_integers, unpack, unpack_integers
from edge_aggregator.journal.content import Content, pack_content
from edge_aggregator.journal.seal import UNSEALED, JournalKey, Keyring, UnknownKeyError

counts = st.integers(0, 50)


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    count = draw(counts)
    return Samples(
        draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2**22 - 1))),
        draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2**53))),
        draw(hnp.arrays(np.float64, count, elements=st.floats(allow_nan=False, allow_infinity=False))),
    )


@settings(deadline=None)
@given(samples())
def test_columns_come_back_to_the_last_bit(columns: Samples) -> None:
    found = unpack(pack(columns))
    for mine, theirs in zip(columns, found, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


@settings(deadline=None)
@given(hnp.arrays(np.int64, counts))
def test_integers_come_back(column: np.ndarray) -> None:
    assert unpack_integers(pack_integers(column)).tobytes() == column.tobytes()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_columns_or_an_error(data: bytes) -> None:
    try:
        unpack(data)
    except CodecError:
        return


@settings(deadline=None)
@given(samples(), st.data())
def test_cut_columns_are_an_error(columns: Samples, data: st.DataObject) -> None:
    assume(len(columns.series))  # nothing that is cut is still nothing
    whole = pack(columns)
    with pytest.raises(CodecError):
        unpack(whole[: data.draw(st.integers(0, len(whole) - 1))])


RAW = b"k" * 32
KEY = JournalKey.from_raw(RAW)
rings = st.sampled_from([UNSEALED, Keyring(b"acme/site/gw", [KEY], newest=KEY.id)])
NOTES = Notes(taken=5, rejected={"malformed": 1}, dead=[DeadLetter("t", b"x", "malformed", "", 5)])


def row_of(columns: Samples, ring: Keyring, first: int = 3) -> Row:
    content = Content(columns, NOTES)
    return to_row(pack_content(content), numbered(content, (7, 9), 1000, ring.newest), first, ring)


def opened(row: Row, ring: Keyring, first: int = 3) -> Block | LostBlock | None:
    """None: the row's numbers are not sound."""
    return open_row(row.numbers, row.sealed, first, ring) if is_sound(row.numbers, row.head, first, ring) else None


@settings(deadline=None)
@given(samples(), rings, st.data())
def test_no_flipped_bit_passes(columns: Samples, ring: Keyring, data: st.DataObject) -> None:
    row = row_of(columns, ring)
    block = opened(row, ring)
    assert isinstance(block, Block)
    assert (block.position, block.last, block.before(), block.notes) == (7, 9, 1000, NOTES)
    assert all(mine.tobytes() == theirs.tobytes() for mine, theirs in zip(block.samples, columns, strict=True))
    field = data.draw(st.sampled_from([*Numbers._fields[:-1], "head", "sealed"]))
    bit = 1 << data.draw(st.integers(0, 31))
    if field == "sealed":
        at = data.draw(st.integers(0, len(row.sealed) - 1))
        sealed = row.sealed[:at] + bytes((row.sealed[at] ^ (bit & 255 or 1),)) + row.sealed[at + 1 :]
        lost = opened(row._replace(sealed=sealed), ring)
        assert isinstance(lost, LostBlock)
        assert (lost.received, lost.samples, lost.last) == (len(columns.ts) + 1, len(columns.ts), 9)
    elif field == "head":
        assert opened(row._replace(head=row.head ^ bit), ring) is None
    else:
        numbers = row.numbers._replace(**{field: getattr(row.numbers, field) ^ bit})
        assert opened(row._replace(numbers=numbers), ring) is None


@given(samples())
def test_what_is_sealed_belongs_to_its_place(columns: Samples) -> None:
    ring = Keyring(b"acme/site/gw", [KEY], newest=KEY.id)
    row, other = row_of(columns, ring), Keyring(b"acme/site/other", [KEY], newest=KEY.id)
    assert opened(row, ring, first=4) is None
    assert opened(row, other) is None
    # Whoever could make the numbers right without the key would still not open it.
    assert isinstance(open_row(row.numbers, row.sealed, 4, ring), LostBlock)
    assert isinstance(open_row(row.numbers, row.sealed, 3, other), LostBlock)
    moved = row.numbers._replace(position=8)
    assert isinstance(open_row(moved, row.sealed, 3, ring), LostBlock)


def test_nothing_is_sealed_twice_alike() -> None:
    ring = Keyring(b"", [KEY], newest=KEY.id)
    columns = Samples(np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3))
    assert len({row_of(columns, ring).sealed for _ in range(100)}) == 100
    assert b"malformed" not in row_of(columns, ring).sealed
    with pytest.raises(UnknownKeyError, match=f"{KEY.id:08x}"):
        is_sound(row_of(columns, ring).numbers, 0, 3, UNSEALED)
