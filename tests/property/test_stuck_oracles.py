"""Runs of equal values and gaps are counted, row by row, as a plain loop would."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.detectors import silence, stuck
from analytics.detectors.stuck import CHANGES, KNOWN, MOST, Runs


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 4, 5, 9, MOST - 1, MOST, KNOWN]),
            st.integers(0, 10),
            st.sampled_from([0, CHANGES - 1, CHANGES]),
            st.booleans(),
        )
    )
)
def test_runs_are_counted_on_and_end(rows: list[tuple[int, int, int, bool]]) -> None:
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    known = Runs(columns[0].astype(np.uint16), columns[1].astype(np.uint16), columns[2].astype(np.uint8))
    ended = stuck.advance(known, columns[3] > 0)
    expected = []
    for at, (repeats, longest, changes, same) in enumerate(rows):
        if repeats and not same:
            expected.append((at, repeats))
        goes_on = repeats if repeats in (MOST, KNOWN) else repeats + 1
        after = (goes_on if same else 0, longest, min(changes + (not same), CHANGES))
        assert (known.repeats[at], known.longest[at], known.changes[at]) == after
    assert list(zip(ended.rows.tolist(), ended.repeats.tolist(), strict=True)) == expected
    lasts = [
        at
        for at in range(len(rows))
        if stuck.FEWEST <= known.repeats[at] < KNOWN
        and known.repeats[at] > stuck.LONGER * float(known.longest[at])
        and known.changes[at] == CHANGES
    ]
    assert stuck.lasting(known).tolist() == lasts


VALUE = st.sampled_from([0.0, 1.0, -7.25, 1e30, np.nan])


@given(st.lists(st.tuples(VALUE, VALUE, VALUE)))
def test_a_window_repeats_when_all_its_samples_are_the_last_one_before(rows: list[tuple[float, float, float]]) -> None:
    mean, last, previous = np.array(rows, np.float64).reshape(-1, 3).T
    assert stuck.repeated(mean, last, previous).tolist() == [m == n == before for m, n, before in rows]


@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(-(10**6), 10**12), st.integers(1, 10**6), st.integers(0, 9)))
)
def test_gaps_are_whole_windows_behind_the_device(rows: list[tuple[int, int, int, int]]) -> None:
    last_end, behind, width, longest = np.array(rows, np.int64).reshape(-1, 4).T
    gap = silence.missed(last_end, last_end + behind, width.astype(np.uint32))
    assert gap.tolist() == [min(max(b // w, 0), silence.MOST) for _, b, w, _ in rows]
    unusual = silence.unusual(gap, longest.astype(np.uint16))
    assert unusual.tolist() == [
        g >= silence.FEWEST and g > silence.LONGER * n for g, n in zip(gap.tolist(), longest.tolist(), strict=True)
    ]
