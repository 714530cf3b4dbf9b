"""Dense columns: lossless to the last bit whatever the samples are, small where they are a device's, safe to read."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_aggregator.decode.decoded import Samples
from edge_aggregator.journal.codec import CodecError, pack, unpack
from edge_aggregator.journal.dense import decode_dense, encode_dense, slabs
from ingest.contract.packing.rice import BadCodeError
from tests.examples import examples
from tests.property.test_edge_journal import samples

HEAD = 5
LIMITS = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 0.1 + 0.2, 1e22, -1e150, float("inf")])


def assert_same(found: Samples, expected: Samples) -> None:
    for mine, theirs in zip(expected, found, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


@st.composite
def runs(draw: st.DrawFn) -> Samples:
    """Devices of some metrics each: what a merged block holds, with every kind of value."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    parts, series = [], 0
    for _ in range(draw(st.integers(1, 4))):
        count = int(rng.integers(1, 40))
        ts = 1_790_000_000_000 + np.cumsum(1000 + rng.integers(-3, 4, count) * rng.integers(0, 2))
        for _ in range(int(rng.integers(1, 5))):
            parts.append(Samples(np.full(count, series), ts, _values(rng, count)))
            series += int(rng.integers(1, 3))
            ts = ts if rng.random() < 0.8 else np.sort(rng.integers(0, 1 << 50, count))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _values(rng: np.random.Generator, count: int) -> np.ndarray:
    places, level = int(rng.integers(0, 8)), 10.0 ** rng.integers(-1, 12)
    kinds = [
        lambda: np.full(count, 21.5),
        lambda: np.arange(count) * 7.0,
        lambda: np.round(rng.normal(level, level / 100, count), places) + 0.0,
        lambda: np.where(rng.random(count) < 0.1, 0.1 + 0.2, np.round(rng.normal(20, 1, count), 2)),
        lambda: np.round(rng.choice(rng.normal(0, 1, 4), count), 6) + 0.0,
        lambda: rng.normal(level, level, count),
        lambda: rng.choice([0.0, -0.0, 5e-324, 1e150, -1e150, 2.0**53, 0.1], count),
    ]
    return kinds[int(rng.integers(0, len(kinds)))]()


@settings(deadline=None, max_examples=examples(60))
@given(samples() | runs())
def test_dense_columns_come_back_to_the_last_bit(columns: Samples) -> None:
    data = pack(columns, dense=True)
    assert_same(unpack(data), columns)
    assert pack(unpack(data), dense=True) == data


@settings(deadline=None, max_examples=examples(60))
@given(runs(), st.integers(1, 60))
def test_so_they_do_in_parts(columns: Samples, samples_at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "SLAB", samples_at_once)
        data = pack(columns, dense=True)
    assert_same(unpack(data), columns)


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(1, 9)), st.integers(1, 20))
def test_parts_hold_every_run_whole_and_once(size: np.ndarray, samples_at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "SLAB", samples_at_once)
        parts = list(slabs.slabs(size))
    assert np.concatenate([np.arange(len(size))[of] for of, _ in parts]).tolist() == list(range(len(size)))
    assert np.concatenate([np.arange(size.sum())[of] for _, of in parts]).tolist() == list(range(size.sum()))
    for of, part in parts:
        assert size[of].sum() == part.stop - part.start
        assert size[of].sum() <= samples_at_once or of.stop - of.start == 1


@settings(deadline=None, max_examples=examples(60))
@given(hnp.arrays(np.float64, st.integers(1, 60), elements=LIMITS))
def test_every_double_comes_back(values: np.ndarray) -> None:
    columns = Samples(np.zeros(len(values), np.int64), np.arange(len(values)), values)
    assert_same(unpack(pack(columns, dense=True)), columns)


@settings(deadline=None, max_examples=examples(120))
@given(runs(), st.data())
def test_changed_sections_are_refused_or_read(columns: Samples, data: st.DataObject) -> None:
    count, sections = encode_dense(columns)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sections) - 1))
        changed = bytearray(sections[at]) or bytearray(1)
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
        sections[at] = bytes(changed[: data.draw(st.sampled_from([len(changed), place]))])
    try:
        found = decode_dense(len(columns.ts), count, sections)
    except BadCodeError:
        return
    assert [len(column) for column in found] == [len(columns.ts)] * 3


@settings(deadline=None, max_examples=examples(60))
@given(runs(), st.data())
def test_changed_bytes_are_refused_or_read(columns: Samples, data: st.DataObject) -> None:
    packed = bytearray(pack(columns, dense=True))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        unpack(bytes(packed))
    except CodecError:
        return


def test_few_bytes_do_not_become_many() -> None:
    frame = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode((1, [bytes(1 << 28)])))
    with pytest.raises(CodecError, match="more than"):
        unpack(b"\x02\x01\x00\x00\x00" + frame)


def test_a_minute_of_devices_takes_less_than_a_byte_a_sample() -> None:
    rng = np.random.default_rng(1)
    devices, seconds = 50, 60
    ts = np.repeat(
        1_790_000_000_000 + np.arange(seconds) * 1000 + rng.integers(-5, 6, (devices, 1, seconds)), 3, axis=1
    )
    steady = np.round(21 + np.cumsum(rng.normal(0, 0.02, (devices, seconds)), axis=1), 1)
    noisy = np.round(rng.normal(5, 0.5, (devices, seconds)), 2)
    counter = rng.integers(0, 1 << 30, (devices, 1)) + np.arange(seconds)
    value = np.stack([steady, noisy, counter], axis=1) + 0.0
    columns = Samples(np.repeat(np.arange(devices * 3), seconds), ts.ravel(), value.ravel())
    assert_same(unpack(pack(columns, dense=True)), columns)
    assert len(pack(columns, dense=True)) < len(columns.ts) < len(pack(columns)) / 2
