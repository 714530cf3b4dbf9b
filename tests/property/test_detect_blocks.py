"""What a block of rows takes from the table, and gives back, is what picking series one by one would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import series as series_module
from analytics.detect.block import HOT, RUN, Block
from analytics.series import SeriesTable, fresh_columns
from tests.detect_fleet import Fleet
from tests.examples import examples

RUNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * RUN)), min_size=1, max_size=6)


@settings(max_examples=examples(20), deadline=None)
@given(runs=RUNS, turned=st.booleans(), seed=st.integers(0, 1000), share=st.floats(0.9, 1.0))
def test_a_block_holds_its_series_and_gives_them_back(
    *, runs: list[tuple[int, int]], turned: bool, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    numbers, first = [], 0
    for gap, length in runs:
        first += gap + length
        numbers.append(np.arange(first - length, first))
    series = np.concatenate(numbers[::-1] if turned else numbers).astype(np.int32)
    table = fresh_columns(first + 1)
    for name in HOT:
        table[name][...] = rng.integers(0, 100, table[name].shape)
    expected = {name: table[name].copy() for name in HOT}
    block = Block(table, series)
    part = block.part(np.flatnonzero(rng.random(len(series)) < share))
    for name in HOT:
        assert (block.state[name] == expected[name][..., series]).all()
        part.state[name][...] += 1
        expected[name][..., part.series] += 1
    part.give_back()
    block.give_back()
    assert all((table[name] == expected[name]).all() for name in HOT)


def test_a_large_table_takes_room_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "LARGE", 2048)
    table = SeriesTable(10_000, forget_after_ms=1000)
    for devices in (500, 1500, 3000, 9000):
        found = table.resolve(Fleet(devices).batch(np.zeros((devices, 1)), 0)).series
        assert (table.columns["windows"][found] == 0).all()
        assert (table.columns["low"][:, found] == np.inf).all()
        assert table.columns["device"][found].tolist() == list(range(devices))
    assert len(table.columns["windows"]) == 10_000
