"""Hostile batches of version 2: packed columns are believed no more than plain ones, and cost no memory beyond their bound."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from ingest.contract.batch_checks import MAX_ROWS
from ingest.contract.batch_wire import BadBatchError, decode_batch
from ingest.contract.packing.runs import encode_runs
from ingest.contract.reasons import BatchRejection
from tests.unit.test_contract_batch import ROWS, fields


def refusal(changed: dict[str, Any]) -> BadBatchError:
    with pytest.raises(BadBatchError) as caught:
        decode_batch(msgspec.msgpack.encode(changed))
    return caught.value


@pytest.mark.parametrize("rows", [-1, 0, ROWS - 1, ROWS + 1, MAX_ROWS, MAX_ROWS + 1, 1 << 60])
def test_rows_that_the_buffers_do_not_hold(rows: int) -> None:
    found = refusal(fields(2) | {"rows": rows})
    few = 0 <= rows <= MAX_ROWS
    assert found.reason is (BatchRejection.COLUMN_LENGTH if few else BatchRejection.TOO_MANY_ROWS)


def test_more_rows_than_may_be_are_refused_before_there_is_room_for_them() -> None:
    changed = fields(2) | {"rows": 1 << 40}
    changed["columns"]["device"] = encode_runs(np.zeros(0, np.int64))[:0] + b"\x01\x00\xff\xff\xff\xff\xff\x1f"
    assert refusal(changed).reason is BatchRejection.TOO_MANY_ROWS


def test_rows_may_not_be_left_out() -> None:
    changed = fields(2)
    del changed["rows"]
    assert refusal(changed).reason is BatchRejection.MALFORMED


@pytest.mark.parametrize("name", sorted(fields(2)["columns"]))
def test_a_buffer_that_is_missing(name: str) -> None:
    changed = fields(2)
    del changed["columns"][name]
    found = refusal(changed)
    assert (found.reason, found.detail) == (BatchRejection.COLUMN_MISSING, name)


@pytest.mark.parametrize("name", sorted(fields(2)["columns"]))
def test_a_buffer_that_is_cut_or_something_else(name: str) -> None:
    for data in (b"", b"\x00", b"\xff" * 3, fields(2)["columns"][name][:-1]):
        changed = fields(2)
        if data == changed["columns"][name]:
            continue
        changed["columns"][name] = data
        assert refusal(changed).reason in {BatchRejection.COLUMN_LENGTH, BatchRejection.BAD_VALUE}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("device", 2, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("device", -1, BatchRejection.COLUMN_LENGTH),
        ("device", 1 << 32, BatchRejection.COLUMN_LENGTH),
        ("metric", 2, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("metric", 1 << 16, BatchRejection.COLUMN_LENGTH),
        ("start", -1, BatchRejection.BAD_VALUE),
        ("width", 0, BatchRejection.BAD_VALUE),
        ("count", 0, BatchRejection.BAD_VALUE),
        ("revision", 1 << 16, BatchRejection.COLUMN_LENGTH),
    ],
)
def test_an_integer_that_is_wrong(column: str, value: int, reason: BatchRejection) -> None:
    changed = fields(2)
    numbers = {"device": [0, 1, 0], "start": [1_700_000_000_000] * 2 + [1_700_000_010_000], "metric": [0] * 3}
    numbers |= {"width": [10_000] * 3, "count": [2] * 3, "revision": [0] * 3}
    numbers[column][1] = value
    changed["columns"][column] = encode_runs(np.array(numbers[column], np.int64))
    assert refusal(changed).reason is reason


def test_windows_to_replace_are_looked_at_too() -> None:
    changed = fields(2)
    window = {"device": 2, "metric": 0, "start": 0, "width": 1}
    changed["replaces"] = {name: encode_runs(np.array([value])) for name, value in window.items()}
    assert refusal(changed | {"replaced": 1}).reason is BatchRejection.INDEX_OUT_OF_BOUNDS
    assert refusal(changed | {"replaced": 2}).reason is BatchRejection.COLUMN_LENGTH
    assert refusal(changed | {"replaced": -1}).reason is BatchRejection.TOO_MANY_ROWS
    del changed["replaces"]["width"]
    assert refusal(changed | {"replaced": 1}).reason is BatchRejection.COLUMN_MISSING
