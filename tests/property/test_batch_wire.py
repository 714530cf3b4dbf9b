"""The batch on the wire: what was sent comes back, and no bytes whatever do more harm than to be refused."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.batch import COLUMNS, REPLACED_COLUMNS, DeviceRow, MetricRow, RollupBatch
from ingest.contract.batch_checks import check_distinct
from ingest.contract.batch_wire import BadBatchError, decode_batch, encode_batch, mark_historical
from tests.batch_material import batches, faults, same
from tests.examples import examples

ENCODED = batches().map(encode_batch)
SPECIAL = [0x7FF0000000000000, 0xFFF0000000000000, 0x7FF0000000000001, 0x7FF8000000000000, 0x8000000000000000, 1 << 63]


def decoded(value: bytes) -> RollupBatch | None:
    """None for a refused batch; anything but BadBatchError goes on to fail the test."""
    try:
        return decode_batch(value)
    except BadBatchError as error:
        refused = error
    assert str(refused).startswith(refused.reason)
    assert refused.detail.isprintable()
    assert len(refused.detail) <= 600
    return None


def assert_refused_or_sound(value: bytes) -> None:
    batch = decoded(value)
    if batch is not None:
        assert faults(batch) == []
        assert same(decode_batch(encode_batch(batch)), batch)


@settings(max_examples=examples(30))
@given(batches())
def test_what_was_sent_comes_back(batch: RollupBatch) -> None:
    value = encode_batch(batch)
    back = decode_batch(value)
    assert same(back, batch)
    assert faults(back) == []
    assert encode_batch(back) == value
    assert len(back) == len(batch.columns["device"])


@settings(max_examples=examples(30))
@given(ENCODED)
def test_columns_have_the_right_dtype_and_nobody_can_write_them(value: bytes) -> None:
    batch = decode_batch(value)
    for spec, columns in ((COLUMNS, batch.columns), (REPLACED_COLUMNS, batch.replaces)):
        assert list(columns) == list(spec)
        for name, dtype in spec.items():
            assert columns[name].dtype == dtype
            assert columns[name].flags.aligned
    assert not any(column.flags.writeable for column in batch.columns.values())
    # Version 1 is read without a copy.
    assert batch.version > 1 or not any(column.flags.owndata for column in batch.columns.values())


@settings(max_examples=examples(30))
@given(ENCODED)
def test_the_backlog_is_the_same_batch_marked(value: bytes) -> None:
    marked, batch = decode_batch(mark_historical(value)), decode_batch(value)
    assert marked.historical
    assert same(msgspec.structs.replace(marked, historical=batch.historical), batch)


@settings(max_examples=examples(80))
@given(ENCODED, st.data())
def test_a_changed_byte_does_no_harm(value: bytes, data: st.DataObject) -> None:
    changed = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert_refused_or_sound(bytes(changed))


@settings(max_examples=examples(30))
@given(ENCODED, st.data())
def test_a_piece_that_is_missing_or_too_much_does_no_harm(value: bytes, data: st.DataObject) -> None:
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(value))] * 2)))
    assert_refused_or_sound(value[:first] + data.draw(st.binary(max_size=12)) + value[last:])
    assert decoded(value[:first]) is None or first == len(value)
    assert decoded(value + b"\x00") is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(value: bytes) -> None:
    assert decoded(value) is None


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=examples(80))
@given(ENCODED, st.data())
def test_a_field_of_any_other_content_does_no_harm(value: bytes, data: st.DataObject) -> None:
    fields = msgspec.msgpack.decode(value)
    name = data.draw(st.sampled_from(sorted(fields)))
    if isinstance(fields[name], dict) and fields[name] and data.draw(st.booleans()):
        fields[name][data.draw(st.sampled_from(sorted(fields[name])))] = data.draw(anything)
    else:
        fields[name] = data.draw(anything)
    assert_refused_or_sound(msgspec.msgpack.encode(fields))


@settings(max_examples=examples(80))
@given(batches(), st.data())
def test_a_cell_is_taken_exactly_if_it_is_sound(batch: RollupBatch, data: st.DataObject) -> None:
    if not len(batch):
        return
    name = data.draw(st.sampled_from(list(COLUMNS)))
    size = COLUMNS[name].itemsize
    bits = data.draw(st.integers(0, 5) | st.integers(0, (1 << 8 * size) - 1) | st.sampled_from(SPECIAL))
    cell = (bits % (1 << 8 * size)).to_bytes(size, "little")
    column = bytearray(batch.columns[name].tobytes())
    row = data.draw(st.integers(0, len(batch) - 1))
    column[row * size : (row + 1) * size] = cell
    changed = {**batch.columns, name: np.frombuffer(bytes(column), COLUMNS[name])}
    replaces = batch.replaces or {key: np.empty(0, dtype) for key, dtype in REPLACED_COLUMNS.items()}
    expected = msgspec.structs.replace(batch, columns=changed, replaces=replaces)
    assert (decoded(encode_batch(expected)) is None) == bool(faults(expected))


@settings(max_examples=examples(30))
@given(ENCODED)
def test_what_a_later_release_adds_is_passed_over(value: bytes) -> None:
    fields = msgspec.msgpack.decode(value)
    fields["notes"] = {"new": [1, 2, 3]}
    fields["columns"]["quantile"] = bytes(3)
    fields["ledger"]["shelved"] = 5
    assert same(decode_batch(msgspec.msgpack.encode(fields)), decode_batch(value))


small = st.tuples(
    st.integers(0, 4), st.integers(0, 3), st.integers(0, 3).map(lambda n: n * 10_000), st.sampled_from([1, 10_000])
)


@settings(max_examples=examples(80))
@given(
    st.lists(small, max_size=30),
    st.lists(st.sampled_from("abc"), min_size=5, max_size=5),
    st.lists(st.sampled_from("xy"), min_size=4, max_size=4),
)
def test_a_window_is_found_twice_exactly_when_it_is(
    rows: list[tuple[int, ...]], devices: list[str], metrics: list[str]
) -> None:
    columns = {
        name: np.array([row[position] for row in rows], dtype)
        for position, (name, dtype) in enumerate(REPLACED_COLUMNS.items())
    }
    named = [(devices[device], metrics[metric], start, width) for device, metric, start, width in rows]
    try:
        check_distinct(columns, [DeviceRow(name) for name in devices], [MetricRow(name) for name in metrics])
    except BadBatchError:
        assert len(set(named)) < len(named)
    else:
        assert len(set(named)) == len(named)
