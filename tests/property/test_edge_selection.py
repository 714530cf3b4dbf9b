"""The earliest of many samples, pass by pass: what comes out is what a set of all of them would be, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.decode.decoded import Samples
from edge_aggregator.recorder.selection import Key, Selection, last_key

SERIES = 4
rows = st.tuples(st.integers(0, SERIES - 1), st.integers(0, 12), st.sampled_from([-1.5, 0.0, 1.0, 2.0]))
blocks = st.lists(st.lists(rows, max_size=12), max_size=8)


def columns(block: list[tuple[int, int, float]]) -> Samples:
    series, ts, value = zip(*block, strict=True) if block else ((), (), ())
    return Samples(np.array(series, np.int64), np.array(ts, np.int64), np.array(value, np.float64))


def naive(found: list[list[tuple[int, int, float]]], wanted: list[bool], start: int, end: int) -> list[Key]:
    kept = set()
    for block in found:
        for series, ts, value in block:
            if wanted[series] and start <= ts < end:
                kept.add(Key(ts, series, int(np.array([value]).view(np.int64)[0])))
    return sorted(kept)


@settings(deadline=None)
@given(blocks, st.lists(st.booleans(), min_size=SERIES, max_size=SERIES), st.integers(0, 12), st.integers(1, 5))
def test_passes_give_every_sample_once_in_order(
    found: list[list[tuple[int, int, float]]], wanted: list[bool], start: int, most: int
) -> None:
    end, given_out, after, more = 10, list[Key](), None, True
    while more:
        selection = Selection(start if after is None else after.ts, end, most, after)
        for block in found:
            selection.add(columns(block), np.array(wanted))
        chosen = selection.settle()
        assert len(chosen.ts) <= most
        keys = zip(chosen.ts.tolist(), chosen.series.tolist(), chosen.value.view(np.int64).tolist(), strict=True)
        given_out += [Key(*key) for key in keys]
        more = selection.full
        after = last_key(chosen) if len(chosen.ts) else after
    assert given_out == naive(found, wanted, start, end)
