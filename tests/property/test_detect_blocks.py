"""What a block of rows takes from the table, and gives back, is what picking series one by one would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import series as series_module
from analytics.columns import COLUMNS, HOT, Columns
from analytics.detect import rounds
from analytics.detect.block import Block, neighbours
from analytics.detect.config import DetectConfig
from analytics.detect.pools import CohortKey
from analytics.detect.recording import MINUTE, Watch
from analytics.detect.round import Memory, Outcome, Rows, step
from analytics.detect.rounds import Ordered
from analytics.detectors.kinds import COUNTER
from analytics.series import SeriesTable
from tests.detect_fleet import Fleet
from tests.examples import examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.block import Neighbours

CONFIG = DetectConfig(pooled_windows=200)

RUNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200)), min_size=1, max_size=6)


@settings(max_examples=examples(20), deadline=None)
@given(runs=RUNS, turned=st.booleans(), seed=st.integers(0, 1000))
def test_a_block_holds_its_series_and_gives_them_back(*, runs: list[tuple[int, int]], turned: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    series, first = _series(runs, turned=turned)
    table = Columns(first + 1)
    for name in HOT:
        table[name][...] = rng.integers(0, 100, table[name].shape)
    expected = {name: table[name].copy() for name in HOT}
    block = Block(table, series)
    for name in HOT:
        assert (block.state[name] == expected[name][..., series]).all()
        block.state[name][...] += 1
        expected[name][..., series] += 1
    block.give_back()
    assert all((table[name] == expected[name]).all() for name in HOT)


@settings(max_examples=examples(20), deadline=None)
@given(runs=RUNS, seed=st.integers(0, 1000))
def test_what_is_put_aside_is_idle_until_it_is_restored(*, runs: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    series, first = _series(runs, turned=False)
    planes = Columns(first + 1).planes
    for name in HOT:
        planes[name][...] = rng.integers(0, 100, planes[name].shape)
    expected = {name: planes[name].copy() for name in HOT}
    saved = planes.put_aside(series)
    others = np.setdiff1d(np.arange(first + 1), series)
    for name in HOT:
        assert (planes[name][..., series] == COLUMNS[name].idle).all()
        assert (planes[name][..., others] == expected[name][..., others]).all()
    planes.restore(series, saved)
    assert all((planes[name] == expected[name]).all() for name in HOT)


@given(runs=RUNS)
def test_neighbours_are_all_series_from_the_first_to_the_last(runs: list[tuple[int, int]]) -> None:
    series, _ = _series(runs, turned=False)
    found = neighbours(Ordered(np.arange(len(series)), series))
    present = np.setdiff1d(np.arange(len(found.series)), found.absent)
    assert found.series[present].tolist() == series.tolist()
    assert found.rows[present].tolist() == list(range(len(series)))
    assert ((found.rows >= 0) & (found.rows < len(series))).all()
    assert (np.diff(found.series) == 1).all() or len(found.absent) == 0


@settings(max_examples=examples(5), deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.6, 0.99))
def test_series_that_are_missing_between_others_change_nothing(seed: int, share: float) -> None:
    """A batch with gaps decides, pools and leaves behind what the same windows do where no series lies between them."""
    rng = np.random.default_rng(seed)
    keys = [CohortKey("acme", name, "rev-a", MINUTE) for name in ("a", "b")]
    dense, spread = (Watch([keys[at % 2] for at in range(60)], CONFIG) for _ in range(2))
    for watch in (dense, spread):
        watch.table["kind"][::5] = COUNTER
    for number in range(160):
        here = np.flatnonzero(rng.random(60) < share)
        values = np.where(here % 3 == 0, np.rint(rng.normal(0, 3, len(here))), rng.normal(5, 1, len(here)))
        values[rng.random(len(here)) < 0.01] += 40.0
        values[here % 5 == 0] += rng.integers(0, 5) * number  # counters, of which some are reset
        found = dense.step(here, np.full(len(here), number * MINUTE), values)
        padded = neighbours(Ordered(np.arange(len(here)), here.astype(np.int32)))
        told = _step(spread, padded, (number + 1) * MINUTE, values)
        present = np.setdiff1d(np.arange(len(padded.series)), padded.absent)
        for one, other in zip(found, told.of(present), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not told.change[padded.absent].any()
    for name in HOT:
        np.testing.assert_array_equal(dense.table[name], spread.table[name])
    assert dense.pools.dump() == spread.pools.dump()


def test_a_large_table_takes_room_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "LARGE", 2048)
    table = SeriesTable(10_000, forget_after_ms=1000)
    for devices in (500, 1500, 3000, 9000):
        found = table.resolve(Fleet(devices).batch(np.zeros((devices, 1)), 0)).series
        assert (table.columns["windows"][found] == 0).all()
        assert (table.columns["low"][:, found] == np.inf).all()
        assert table.columns["device"][found].tolist() == list(range(devices))
    assert len(table.columns["windows"]) == 10_000


def _series(runs: list[tuple[int, int]], *, turned: bool) -> tuple[NDArray[np.int32], int]:
    numbers, first = [], 0
    for gap, length in runs:
        first += gap + length
        numbers.append(np.arange(first - length, first))
    return np.concatenate(numbers[::-1] if turned else numbers).astype(np.int32), first


def _step(watch: Watch, padded: Neighbours, end: int, values: NDArray[np.float64]) -> Outcome:
    count = len(padded.series)
    column = values[padded.rows]
    column[padded.absent] = 0.0
    rows = Rows(
        padded.series,
        np.full(count, end),
        np.full(count, MINUTE),
        np.ones(count, np.float32),
        column,
        column,
        padded.absent,
    )
    return step(Memory(watch.table, watch.alarms, watch.pools, watch._rules), rows)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
    st.permutations(range(12)),
    st.integers(1, 7),
    st.integers(1, 5),
)
def test_blocks_hold_each_row_once_and_part_what_lies_apart(
    runs: list[tuple[int, int]], turned: list[int], at_once: int, few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "ROWS_AT_ONCE", at_once)
        patch.setattr(rounds, "FAR", 5)
        patch.setattr(rounds, "FEW", few)
        ordered, _ = _series(runs, turned=False)
        series = np.concatenate([ordered[at::12] for at in turned])
        (whole,) = rounds.one_each(np.arange(len(series)), series, np.zeros(len(series), np.int64))
        found = list(rounds.blocks(whole))
    assert series[whole.rows].tolist() == whole.series.tolist() == ordered.tolist()
    assert all(series[part.rows].tolist() == part.series.tolist() for part in found)
    parts = [part.rows for part in found]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(series)))
    far = [part for part in parts if (np.diff(series[part]) > 5).any()]
    assert all((np.diff(series[part]) > 0).all() and len(part) <= at_once for part in parts)
    assert (np.diff(ordered) > 5).sum() * few >= len(series) or sum(map(len, far)) <= few * len(runs)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=20))
def test_a_series_that_a_batch_holds_often_is_looked_at_once_at_a_time(rows: list[tuple[int, int]]) -> None:
    series, end = np.array([row[0] for row in rows], np.int32), np.array([row[1] for row in rows])
    found = list(rounds.one_each(np.arange(len(rows)), series, end))
    assert all((np.diff(part.series) > 0).all() for part in found)
    assert all(series[part.rows].tolist() == part.series.tolist() for part in found)
    parts = [part.rows for part in found]
    ends = [set(end[part].tolist()) for part in parts]
    assert len(parts) == 1 or (
        all(len(of) == 1 for of in ends) and [min(of) for of in ends] == sorted(set(end.tolist()))
    )
    looked = {(series[row], end[row]) for part in parts for row in part.tolist()}
    assert looked == set(zip(series.tolist(), end.tolist(), strict=True))
