"""Chunks of raw samples: they come back in every bit, and no bytes from anywhere are worse than a reason."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.batch import DeviceRow, MetricRow, Origin
from ingest.contract.batch_checks import BadBatchError
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import LATEST_MS
from ingest.contract.samples import (
    SAMPLE_COLUMNS,
    SampleChunk,
    Summary,
    UnreadableBlock,
    decode_samples,
    encode_samples,
)
from tests.batch_material import filled, labels, names

times = st.integers(0, LATEST_MS)
summaries = st.builds(
    lambda samples, chunks, span, blocks, more: Summary(
        outcome="answered",
        samples=samples,
        chunks=chunks,
        covered_from=min(span),
        covered_until=max(span),
        unreadable_blocks=len(blocks) + more,
        unreadable=blocks,
    ),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 20),
    st.tuples(times, times),
    st.lists(st.builds(UnreadableBlock, st.integers(0, 1 << 40), filled, times, times), max_size=3),
    st.integers(0, 9),
)


@st.composite
def chunks(draw: st.DrawFn) -> SampleChunk:
    devices = [DeviceRow(name) for name in draw(st.lists(names, min_size=1, max_size=3))]
    metrics = [MetricRow(name, labels=draw(labels)) for name in draw(st.lists(filled, min_size=1, max_size=3))]
    rows = draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    columns = {
        "device": rng.integers(0, len(devices), rows),
        "metric": rng.integers(0, len(metrics), rows),
        "ts": rng.integers(0, LATEST_MS, rows, endpoint=True),
        "value": rng.normal(size=rows) * 10.0 ** rng.integers(-150, 150, rows),
    }
    return SampleChunk(
        origin=Origin(*draw(st.tuples(names, names, names, names))),
        request=draw(names),
        attempt=draw(st.integers(0, 9)),
        chunk=draw(st.integers(0, 1 << 30)),
        created=draw(times),
        devices=devices,
        metrics=metrics,
        columns={name: column.astype(SAMPLE_COLUMNS[name]) for name, column in columns.items()},
        summary=draw(st.none() | summaries),
    )


def same(one: SampleChunk, other: SampleChunk) -> bool:
    plain = all(getattr(one, f) == getattr(other, f) for f in SampleChunk.__struct_fields__ if f != "columns")
    return plain and all(one.columns[c].tobytes() == other.columns[c].tobytes() for c in SAMPLE_COLUMNS)


def fault(chunk: SampleChunk) -> bool:
    """What the decoder promises of the rows, with a loop."""
    for device, metric, ts, value in zip(*(chunk.columns[c].tolist() for c in SAMPLE_COLUMNS), strict=True):
        inside = device < len(chunk.devices) and metric < len(chunk.metrics)
        if not inside or not 0 <= ts <= LATEST_MS or not math.isfinite(value):
            return True
    return False


@given(chunks())
def test_a_chunk_comes_back(chunk: SampleChunk) -> None:
    value = encode_samples(chunk)
    assert same(decode_samples(value), chunk)
    assert encode_samples(decode_samples(value)) == value


@given(chunks(), st.data())
def test_a_changed_byte_is_refused_or_sound(chunk: SampleChunk, data: st.DataObject) -> None:
    value = bytearray(encode_samples(chunk))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_samples(bytes(value))
    except BadBatchError:
        return
    assert not fault(found)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(BadBatchError):
        decode_samples(value)


def sound() -> dict[str, Any]:
    columns = {"device": [0, 0], "metric": [0, 0], "ts": [1, 2], "value": [1.0, 2.0]}
    chunk = SampleChunk(
        origin=Origin("acme", "s", "g", "b"),
        request="r",
        attempt=1,
        chunk=0,
        created=5,
        devices=[DeviceRow("d")],
        metrics=[MetricRow("t")],
        columns={name: np.array(column, SAMPLE_COLUMNS[name]) for name, column in columns.items()},
        summary=Summary(
            outcome="answered",
            samples=2,
            chunks=1,
            covered_from=0,
            covered_until=9,
            unreadable_blocks=0,
            unreadable=[],
        ),
    )
    found: dict[str, Any] = msgspec.msgpack.decode(encode_samples(chunk))
    return found


def _column(name: str, cells: list[float]) -> dict[str, bytes]:
    return sound()["columns"] | {name: np.array(cells, SAMPLE_COLUMNS[name]).tobytes()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, BatchRejection.UNSUPPORTED_VERSION),
        ({"request": "a/b"}, BatchRejection.BAD_NAME),
        ({"site": ""}, BatchRejection.BAD_NAME),
        ({"chunk": -1}, BatchRejection.MALFORMED),
        ({"created": -1}, BatchRejection.MALFORMED),
        ({"columns": {}}, BatchRejection.COLUMN_MISSING),
        ({"columns": _column("ts", [1])}, BatchRejection.COLUMN_LENGTH),
        ({"columns": _column("device", [0, 1])}, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ({"columns": _column("metric", [0, 1])}, BatchRejection.INDEX_OUT_OF_BOUNDS),
        ({"columns": _column("value", [0, math.inf])}, BatchRejection.BAD_VALUE),
        ({"columns": _column("ts", [0, -1])}, BatchRejection.BAD_VALUE),
        ({"summary": sound()["summary"] | {"samples": -1}}, BatchRejection.MALFORMED),
        ({"summary": sound()["summary"] | {"covered_from": 10}}, BatchRejection.MALFORMED),
        ({"summary": sound()["summary"] | {"outcome": "a\nb"}}, BatchRejection.BAD_NAME),
        ({"summary": sound()["summary"] | {"unreadable": [[1, "x"]] * 101}}, BatchRejection.MALFORMED),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], reason: BatchRejection) -> None:
    with pytest.raises(BadBatchError) as caught:
        decode_samples(msgspec.msgpack.encode(sound() | change))
    assert caught.value.reason is reason
