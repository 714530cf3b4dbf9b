"""Hostile batches, each refused with the reason that says what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from ingest.contract.batch import (
    COLUMNS,
    REPLACED_COLUMNS,
    VERSION,
    DeviceRow,
    MetricRow,
    Origin,
    RollupBatch,
    empty_columns,
)
from ingest.contract.batch_checks import MAX_NUMBER, MAX_ROWS, check_distinct
from ingest.contract.batch_wire import BadBatchError, decode_batch, encode_batch
from ingest.contract.ledger import GENESIS, LedgerEntry
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import LATEST_MS

ROWS = 3


def sound_batch(rows: int = ROWS, version: int = VERSION) -> RollupBatch:
    numbers = np.arange(rows, dtype=np.float64)
    values: dict[str, Any] = {
        "device": np.arange(rows) % 2,
        "metric": 0,
        "start": 1_700_000_000_000 + np.arange(rows) // 2 * 10_000,
        "width": 10_000,
        "count": 2,
        "sum": numbers * 2,
        "sumsq": numbers * numbers * 2,
        "min": numbers,
        "max": numbers,
        "last": numbers,
        "revision": 0,
    }
    return RollupBatch(
        version=version,
        origin=Origin("acme", "plant-7", "gw-1", "b00t"),
        seq=1,
        created=1_700_000_060_000,
        historical=False,
        devices=[DeviceRow("pump-1", "2.2.0"), DeviceRow("pump-2")],
        metrics=[MetricRow("temperature", labels=(("core", "1"),)), MetricRow("load")],
        columns={name: np.broadcast_to(values[name], rows).astype(dtype) for name, dtype in COLUMNS.items()},
        ledger=LedgerEntry(
            seq=1,
            received=9,
            rolled_up=2 * rows,
            duplicate=0,
            rejected={},
            dropped={},
            open=0,
            net=2 * rows,
            previous=GENESIS,
        ),
    )


def fields(version: int = 1) -> dict[str, Any]:
    """In version 1 the buffers are the columns; what is checked of their content is the same in all versions."""
    found: dict[str, Any] = msgspec.msgpack.decode(encode_batch(sound_batch(version=version)))
    return found


def refusal(changed: dict[str, Any] | bytes) -> BadBatchError:
    with pytest.raises(BadBatchError) as caught:
        decode_batch(changed if isinstance(changed, bytes) else msgspec.msgpack.encode(changed))
    return caught.value


def with_cell(name: str, value: float) -> dict[str, Any]:
    changed = fields()
    column = np.frombuffer(changed["columns"][name], COLUMNS[name]).copy()
    column[1] = value
    changed["columns"][name] = column.tobytes()
    return changed


def test_the_batch_that_is_changed_below_is_sound() -> None:
    assert len(decode_batch(msgspec.msgpack.encode(fields()))) == ROWS


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", 0, BatchRejection.UNSUPPORTED_VERSION),
        ("version", 3, BatchRejection.UNSUPPORTED_VERSION),
        ("version", "1", BatchRejection.MALFORMED),
        ("seq", -1, BatchRejection.MALFORMED),
        ("seq", 2, BatchRejection.MALFORMED),
        ("created", -1, BatchRejection.MALFORMED),
        ("created", LATEST_MS + 1, BatchRejection.MALFORMED),
        ("historical", 1, BatchRejection.MALFORMED),
        ("tenant", "", BatchRejection.BAD_NAME),
        ("tenant", "a\nb", BatchRejection.BAD_NAME),
        ("site", "a/b", BatchRejection.BAD_NAME),
        ("site", "+", BatchRejection.BAD_NAME),
        ("gateway", "x" * 129, BatchRejection.BAD_NAME),
        ("gateway", "gw\n", BatchRejection.BAD_NAME),
        ("boot", "b\u00f6ot", BatchRejection.BAD_NAME),
        ("devices", [], BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("devices", [["pump-1"]], BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("devices", [["pump-1"], ["pump-1"]], BatchRejection.BAD_VALUE),
        ("devices", [["pump-1"], ["pump 2"]], BatchRejection.BAD_NAME),
        ("devices", [["pump-1", "2.2\x00"], ["pump-2"]], BatchRejection.BAD_NAME),
        ("devices", [["pump-1", "x" * 257], ["pump-2"]], BatchRejection.BAD_NAME),
        ("devices", [[]], BatchRejection.MALFORMED),
        ("devices", {"pump-1": 1}, BatchRejection.MALFORMED),
        ("metrics", [[""]], BatchRejection.BAD_NAME),
        ("metrics", [["a", "\u2028"]], BatchRejection.BAD_NAME),
        ("metrics", [["a", "", "gauge", [["", "v"]]]], BatchRejection.BAD_NAME),
        ("metrics", [["a", "", "gauge", [["b", "v"], ["a", "v"]]]], BatchRejection.BAD_NAME),
        ("metrics", [["a", "", "gauge", [["b", "v"], ["b", "w"]]]], BatchRejection.BAD_NAME),
        ("metrics", [["a", "", "gauge", [["b"]]]], BatchRejection.MALFORMED),
        ("columns", {}, BatchRejection.COLUMN_MISSING),
        ("columns", [b""], BatchRejection.MALFORMED),
        ("replaces", {"device": b""}, BatchRejection.COLUMN_MISSING),
        ("ledger", {}, BatchRejection.MALFORMED),
    ],
)
def test_a_field_that_is_wrong(field: str, value: object, reason: BatchRejection) -> None:
    assert refusal({**fields(), field: value}).reason is reason


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("seq", 2, BatchRejection.MALFORMED),
        ("received", -1, BatchRejection.MALFORMED),
        ("received", MAX_NUMBER + 1, BatchRejection.BAD_VALUE),
        ("net", 2 * ROWS + 1, BatchRejection.LEDGER_UNBALANCED),
        ("previous", bytes(31), BatchRejection.MALFORMED),
        ("rejected", {"too_old": -1}, BatchRejection.MALFORMED),
        ("rejected", {"too\nold": 1}, BatchRejection.BAD_NAME),
        ("rejected", {"x" * 257: 1}, BatchRejection.BAD_NAME),
        ("rejected", {f"r{n}": 1 for n in range(65)}, BatchRejection.MALFORMED),
        ("dropped", {"outbox_full": MAX_NUMBER + 1}, BatchRejection.BAD_VALUE),
        ("dropped", {1: 1}, BatchRejection.MALFORMED),
    ],
)
def test_a_ledger_that_is_wrong(field: str, value: object, reason: BatchRejection) -> None:
    changed = fields(VERSION)
    changed["ledger"][field] = value
    assert refusal(changed).reason is reason


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("device", 2, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("device", (1 << 32) - 1, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("metric", 2, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ("device", 0, BatchRejection.BAD_VALUE),  # the first row's window
        ("start", -1, BatchRejection.BAD_VALUE),
        ("start", LATEST_MS - 9_999, BatchRejection.BAD_VALUE),
        ("start", (1 << 63) - 1, BatchRejection.BAD_VALUE),
        ("width", 0, BatchRejection.BAD_VALUE),
        ("count", 0, BatchRejection.BAD_VALUE),
        ("sum", np.inf, BatchRejection.BAD_VALUE),
        ("sumsq", -1, BatchRejection.BAD_VALUE),
        ("sumsq", np.nan, BatchRejection.BAD_VALUE),
        ("min", 2, BatchRejection.BAD_VALUE),
        ("min", -np.inf, BatchRejection.BAD_VALUE),
        ("max", 0.5, BatchRejection.BAD_VALUE),
        ("max", np.inf, BatchRejection.BAD_VALUE),
        ("last", np.nan, BatchRejection.BAD_VALUE),
        ("last", 7, BatchRejection.BAD_VALUE),
        ("count", 3, BatchRejection.LEDGER_UNBALANCED),
    ],
)
def test_a_cell_that_is_wrong(column: str, value: float, reason: BatchRejection) -> None:
    found = refusal(with_cell(column, value))
    assert found.reason is reason
    if reason is BatchRejection.BAD_VALUE and column != "device":
        assert "row 1" in found.detail


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_another_length(name: str) -> None:
    for length in (0, 1, COLUMNS[name].itemsize * ROWS - 1, COLUMNS[name].itemsize * (ROWS + 1)):
        changed = fields()
        changed["columns"][name] = bytes(length)
        assert refusal(changed).reason is BatchRejection.COLUMN_LENGTH


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_is_missing(name: str) -> None:
    changed = fields()
    del changed["columns"][name]
    found = refusal(changed)
    assert (found.reason, found.detail) == (BatchRejection.COLUMN_MISSING, name)


def test_too_many_rows() -> None:
    changed = fields()
    changed["columns"] = {name: bytes((MAX_ROWS + 1) * dtype.itemsize) for name, dtype in COLUMNS.items()}
    assert refusal(changed).reason is BatchRejection.TOO_MANY_ROWS


def test_windows_to_replace_are_looked_at_too() -> None:
    changed = fields()
    window = {"device": 2, "metric": 0, "start": 0, "width": 1}
    changed["replaces"] = {name: np.array([window[name]], dtype).tobytes() for name, dtype in REPLACED_COLUMNS.items()}
    assert refusal(changed).reason is BatchRejection.INDEX_OUT_OF_BOUNDS


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x80",
        b"\xc0",
        b"{}",
        b"\x81\xa7version\x01",
        b"\x82\xa7version\x01\xa7devices\xdd\xff\xff\xff\xff",
        b"\x82\xa7version\x01\xa7columns\x81\xa6device\xc6\xff\xff\xff\xff",
        b"\x82\xa7version\x01\xa7unknown" + b"\x91" * 100_000 + b"\xc0",
        b"\x82\xa7version\x01\xa6tenant\xa2\xff\xff",
    ],
)
def test_bytes_that_are_no_batch(value: bytes) -> None:
    assert refusal(value).reason is BatchRejection.MALFORMED


def test_a_device_may_have_changed_its_firmware_within_a_batch() -> None:
    changed = fields()
    changed["devices"] = [["pump-1", "2.2.0"], ["pump-1", "2.3.0"]]
    starts = 1_700_000_000_000 + np.arange(ROWS) * 10_000
    changed["columns"]["start"] = starts.astype("<i8").tobytes()
    assert [device.firmware for device in decode_batch(msgspec.msgpack.encode(changed)).devices] == ["2.2.0", "2.3.0"]


def test_windows_that_only_look_alike_are_told_apart() -> None:
    """Starts and metrics whose mixtures meet: what is compared first cannot tell them apart, the exact look can."""
    starts = np.array([1 << 53, 1 << 54], "<i8") | 5
    columns = {"device": np.zeros(2, "<u4"), "metric": np.zeros(2, "<u2"), "start": starts, "width": np.ones(2, "<u4")}
    check_distinct(columns, [DeviceRow("a")], [MetricRow("m")])
    columns["start"] = starts[[0, 0]]
    with pytest.raises(BadBatchError, match="twice"):
        check_distinct(columns, [DeviceRow("a")], [MetricRow("m")])


def test_no_windows() -> None:
    batch = msgspec.structs.replace(sound_batch(0), devices=[], metrics=[], columns=empty_columns())
    assert len(decode_batch(encode_batch(batch))) == 0


def test_equal_batches_give_equal_bytes_however_their_columns_lie_in_memory() -> None:
    batch = sound_batch(8)
    odd = {name: np.repeat(column, 2)[::2].astype(np.float64) for name, column in batch.columns.items()}
    turned = dict(reversed(odd.items()))
    changed = msgspec.structs.replace(batch, columns=turned, replaces=empty_columns(REPLACED_COLUMNS))
    assert encode_batch(changed) == encode_batch(batch)
