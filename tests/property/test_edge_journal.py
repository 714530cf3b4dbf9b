"""Columns and blocks: lossless to the last bit, and no damage passes for data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_aggregator.decode.decoded import DeadLetter, Decoded, Notes, Samples
from edge_aggregator.journal.block import Block, LostBlock, from_row, to_row
from edge_aggregator.journal.codec import CodecError, pack, pack_integers, unpack, unpack_integers

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


@settings(deadline=None)
@given(samples(), st.data())
def test_no_flipped_bit_passes(columns: Samples, data: st.DataObject) -> None:
    notes = Notes(taken=5, rejected={"malformed": 1}, dead=[DeadLetter("t", b"x", "malformed", "", 5)])
    row = to_row(7, Decoded(columns, notes))
    assert isinstance(from_row(row), Block)
    field = data.draw(st.sampled_from(row._fields))
    value = getattr(row, field)
    if isinstance(value, bytes):
        at, bit = data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(0, 7))
        harmed = value[:at] + bytes((value[at] ^ 1 << bit,)) + value[at + 1 :]
    else:
        harmed = value ^ 1 << data.draw(st.integers(0, 31))
    found = from_row(row._replace(**{field: harmed}))
    assert isinstance(found, LostBlock)
    if field in ("columns", "notes", "body"):
        assert (found.received, found.samples) == (row.received, row.samples)
