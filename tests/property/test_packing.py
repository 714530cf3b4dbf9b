"""Packed columns: what went in comes out, a naive reader agrees, and no bytes whatever do more than be refused."""

from __future__ import annotations

import contextlib
import struct
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.packing import varints as packing_varints
from ingest.contract.packing.bits import bit_length, pack_bits, steps, unpack_bits, unzigzag, zigzag
from ingest.contract.packing.decimals import as_floats, as_whole, fewest_places, from_ordered_bits, ordered_bits
from ingest.contract.packing.parameters import best_parameters
from ingest.contract.packing.rice import MOST_LOW_BITS, BadCodeError, decode_rice, encode_rice
from ingest.contract.packing.runs import decode_runs, encode_runs
from ingest.contract.packing.varints import decode_varints, encode_varints
from ingest.contract.packing.window_statistics import FLOATS, decode_statistics, encode_statistics
from tests.batch_material import any_statistics, decimal_statistics, level_statistics, special_statistics
from tests.examples import examples
from tests.wire_packed_reader import Codes, runs, statistics, unfolded, varints

unsigned = st.integers(0, 20) | st.integers(0, (1 << 64) - 1) | st.integers(0, 64).map(lambda n: max((1 << n) - 1, 0))
signed = st.integers(-20, 20) | st.integers(-(1 << 63), (1 << 63) - 1)
doubles = st.floats(allow_nan=False) | st.decimals(-(10**6), 10**6, places=4, allow_nan=False).map(float)


def as_unsigned(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.uint64)


@given(st.lists(st.integers(0, 64).flatmap(lambda width: st.tuples(st.integers(0, (1 << width) - 1), st.just(width)))))
def test_bits_are_one_after_the_other(pairs: list[tuple[int, int]]) -> None:
    values, widths = as_unsigned([value for value, _ in pairs]), np.array([width for _, width in pairs], np.int64)
    data = pack_bits(values, widths)
    whole = at = 0
    for value, width in pairs:
        whole, at = whole | value << at, at + width
    assert int.from_bytes(data, "little") == whole
    assert len(data) == -(-at // 8)
    assert unpack_bits(data, widths).tolist() == values.tolist()


@given(st.lists(unsigned), st.integers(0, MOST_LOW_BITS), st.data())
def test_codes_are_read_by_a_loop_as_well(numbers: list[int], parameter: int, data: st.DataObject) -> None:
    low_bits = np.array([data.draw(st.integers(0, MOST_LOW_BITS)) for _ in numbers] or [parameter], np.int64)
    low_bits = low_bits[: len(numbers)]
    coded = encode_rice(as_unsigned(numbers), low_bits)
    assert decode_rice(coded, low_bits).tolist() == numbers
    codes = Codes(coded)
    assert [codes.next(k) for k in low_bits.tolist()] == numbers


@given(st.binary(max_size=40), st.lists(st.integers(0, MOST_LOW_BITS), max_size=20))
def test_bytes_that_are_no_codes_are_refused(data: bytes, low_bits: list[int]) -> None:
    try:
        found = decode_rice(data, np.array(low_bits, np.int64))
    except BadCodeError:
        return
    assert len(found) == len(low_bits)


@given(st.lists(unsigned, min_size=1))
def test_the_parameter_is_near_the_best(numbers: list[int]) -> None:
    values = as_unsigned(numbers)
    chosen, _ = best_parameters(bit_length(values), np.zeros(len(values), np.int64), 1)
    sizes = [len(encode_rice(values, np.full(len(values), k))) for k in range(57)]
    assert sizes[int(chosen[0])] <= 2 * min(sizes) + 8


@given(st.lists(unsigned), st.sampled_from([1, 40]))
def test_numbers_as_varints(some: list[int], times: int) -> None:
    numbers = some * times  # few are read by a loop, many by columns
    data = encode_varints(as_unsigned(numbers))
    assert varints(data, len(numbers)) == (numbers, len(data))
    found, used = decode_varints(data + b"\x05", len(numbers))
    assert (found.tolist(), used) == (numbers, len(data))
    assert bit_length(as_unsigned(numbers)).tolist() == [number.bit_length() for number in numbers]


@given(st.lists(st.sampled_from([0x80, 0xFF, 0x01, 0x7F]), max_size=30).map(bytes), st.integers(0, 4))
def test_few_numbers_and_many_are_read_alike(data: bytes, count: int) -> None:
    def read() -> object:
        try:
            found, used = decode_varints(data, count)
        except BadCodeError:
            return "refused"
        return found.tolist(), used

    by_loop = read()
    with mock.patch.object(packing_varints, "_FEW", -1):
        assert read() == by_loop


@given(st.lists(signed), signed)
def test_steps_from_number_to_number(numbers: list[int], before: int) -> None:
    expected = [(number - last) % (1 << 64) for number, last in zip(numbers, [before, *numbers], strict=False)]
    assert steps(np.array(numbers, np.int64), before).view(np.uint64).tolist() == expected


@given(st.lists(st.tuples(signed, st.integers(1, 5)), max_size=12), st.integers(-2, 2))
def test_columns_as_runs(parts: list[tuple[int, int]], step: int) -> None:
    column = np.repeat(np.array([number for number, _ in parts], np.int64), [length for _, length in parts])
    column += step * np.arange(len(column))
    data = encode_runs(column)
    assert decode_runs(data, len(column)).tolist() == column.tolist()
    assert runs(data, len(column)) == column.tolist()
    with pytest.raises(BadCodeError):
        decode_runs(data, len(column) + 1)


@given(st.binary(max_size=30), st.integers(0, 20))
def test_bytes_that_are_no_runs_are_refused(data: bytes, rows: int) -> None:
    with contextlib.suppress(BadCodeError):
        assert len(decode_runs(data, rows)) == rows


def test_a_few_bytes_stand_for_no_more_rows_than_were_asked_for() -> None:
    data = encode_varints(as_unsigned([1, 2, (1 << 64) - 1]))
    with pytest.raises(BadCodeError):
        decode_runs(data, 200_000)


@given(st.lists(signed))
def test_folding(numbers: list[int]) -> None:
    folded = zigzag(np.array(numbers, np.int64))
    assert unzigzag(folded).tolist() == numbers
    assert [unfolded(number) for number in folded.tolist()] == numbers


@given(st.lists(doubles), st.integers(0, 11))
def test_decimals_give_every_bit_back(numbers: list[float], places: int) -> None:
    value = np.array(numbers)
    whole, exact = as_whole(value, np.full(len(value), places))
    needs = fewest_places(value)
    for number, k, held, need in zip(numbers, whole.tolist(), exact.tolist(), needs.tolist(), strict=True):
        if held:
            assert struct.pack("<d", k / 10**places) == struct.pack("<d", number)
        if abs(number) * 10**places < 1 << 50:
            assert held == (float(f"{number:.{places}f}") == number and str(number) != "-0.0") == (need <= places)
    assert as_floats(whole, np.full(len(value), places))[exact].tobytes() == value[exact].tobytes()


@given(st.lists(st.floats(-1e308, 1e308)))
def test_bits_are_in_the_order_of_the_numbers(numbers: list[float]) -> None:
    value = np.array(numbers)
    assert from_ordered_bits(ordered_bits(value)).tobytes() == value.tobytes()
    ordered = ordered_bits(np.sort(value[value != 0])).tolist()
    assert ordered == sorted(ordered)
    steps = ordered_bits(np.nextafter(value, np.inf)) - ordered_bits(value)
    assert all(step == 1 for step, number in zip(steps.tolist(), numbers, strict=True) if number not in (0.0, -5e-324))


def material(seed: int, rows: int) -> tuple[dict[str, Any], int]:
    rng = np.random.default_rng(seed)
    makers = [decimal_statistics, decimal_statistics, any_statistics, special_statistics]
    metrics = int(rng.integers(1, 4))
    metric = rng.integers(0, metrics, rows)
    picks = rng.integers(0, len(makers) if seed % 2 else 2, rows)
    chosen = [level_statistics if not m and seed % 3 else makers[pick] for m, pick in zip(metric, picks, strict=True)]
    parts = [maker(rng, 1) for maker in chosen]
    columns = {name: np.array([part[name][0] for part in parts], np.float64) for name in FLOATS}
    columns["count"] = np.array([part["count"][0] for part in parts], np.uint32)
    columns["metric"] = metric.astype(np.uint16)
    return columns, metrics


def test_few_values_far_apart_are_told_as_levels() -> None:
    columns = level_statistics(np.random.default_rng(1), 200) | {"metric": np.zeros(200, np.uint16)}
    columns |= {name: np.array(columns[name], np.float64) for name in FLOATS} | {"count": np.array(columns["count"])}
    buffers = encode_statistics(columns, 1)
    assert len(buffers["levels"]) > 0
    assert sum(len(buffers[name]) for name in ("low", "spread", "last", "levels")) < 2 * 200


@settings(max_examples=examples(60))
@given(st.integers(0, 1 << 32), st.integers(0, 90))
def test_statistics_of_windows_come_back_to_the_last_bit(seed: int, rows: int) -> None:
    columns, metrics = material(seed, rows)
    buffers = encode_statistics(columns, metrics)
    metric, count = columns["metric"].astype(np.int64), columns["count"].astype(np.int64)
    found = decode_statistics(buffers, metric, count, metrics)
    naive = statistics(buffers, metric.tolist(), count.tolist(), metrics)
    for name in FLOATS:
        assert found[name].tobytes() == columns[name].tobytes()
        assert np.array(naive[name], np.float64).tobytes() == columns[name].tobytes()


@settings(max_examples=examples(150))
@given(st.integers(0, 1 << 32), st.data())
def test_changed_bytes_of_statistics_are_refused_or_read(seed: int, data: st.DataObject) -> None:
    columns, metrics = material(seed, 40)
    buffers = encode_statistics(columns, metrics)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(buffers)))
        changed = bytearray(buffers[name]) or bytearray(1)
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
        buffers[name] = bytes(changed[: data.draw(st.sampled_from([len(changed), place]))])
    try:
        found = decode_statistics(
            buffers, columns["metric"].astype(np.int64), columns["count"].astype(np.int64), metrics
        )
    except BadCodeError:
        return
    assert all(len(found[name]) == 40 for name in FLOATS)
