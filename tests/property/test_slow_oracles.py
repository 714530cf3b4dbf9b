"""Means of many windows do, row by row, what a plain loop in double precision would."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.calibrate import EDGES
from analytics.detectors import drift, unrest

NUMBER = st.floats(-1000, 1000, width=32)
SCALE = st.floats(0.015625, 100, width=32)


@given(
    st.lists(
        st.tuples(
            NUMBER, SCALE, st.floats(-4, 4, width=32), NUMBER, st.sampled_from([0, 1, 29, 30, 9000]), st.booleans()
        )
    )
)
def test_the_slow_level_follows_clipped_distances(rows: list[tuple[float, float, float, float, int, bool]]) -> None:
    columns = np.array(rows, np.float64).reshape(-1, 6).T
    level, scale, lean, values = (column.astype(np.float32) for column in columns[:4])
    seen, learns = columns[4].astype(np.uint16), columns[5] > 0
    known = drift.Slow(level.copy(), scale.copy(), lean.copy())
    ones = np.ones(len(rows), np.float32)
    weight = drift.slow_weight(seen) * learns
    away = drift.advance(known, drift.Window(values, ones / 128, ones * 2), seen, weight)
    for at, (before, spread, mean, value, windows, learn) in enumerate(rows):
        old, wide = (value, 0.0) if windows == 0 else (before, spread)
        used = max(wide, 1 / 128) * 2  # a quarter of the samples spreads twice as wide
        distance = min(max((value - old) / used, -drift.CLIP), drift.CLIP)
        counted = value - old if windows < drift.UNCLIPPED else distance * used
        newest = max(1 / (windows + 1), 1 / drift.SLOW_MEMORY) if learn else 0.0
        assert math.isclose(away[at], distance, rel_tol=1e-3, abs_tol=1e-3)
        assert math.isclose(known.lean[at], mean + (distance - mean) / drift.MEMORY, rel_tol=1e-3, abs_tol=1e-3)
        assert math.isclose(known.level[at], old + newest * counted, rel_tol=1e-3, abs_tol=1e-2)
        spread_now = wide + newest * (1.2533 * abs(counted) / 2 - wide)
        assert math.isclose(known.scale[at], spread_now, rel_tol=1e-3, abs_tol=1e-2)
    squares = [float(mean) ** 2 * (2 * drift.MEMORY - 1) for mean in known.lean]
    assert np.allclose(drift.surprise(known.lean), squares, rtol=1e-4, atol=1e-4)


@given(st.lists(st.tuples(*[st.floats(0, 4, width=32)] * 3, st.integers(0, 254), st.floats(0, 1, width=32))))
def test_unrest_is_held_against_its_own_past(rows: list[tuple[float, float, float, int, float]]) -> None:
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    mean, usual, spread, weight = (columns[n].astype(np.float32) for n in (0, 1, 2, 4))
    known = unrest.Unrest(mean.copy(), usual.copy(), spread.copy())
    found = unrest.advance(known, columns[3].astype(np.uint8), weight)
    for at, (mean_, usual_, spread_, bin_, weight_) in enumerate(rows):
        now = math.log1p((EDGES[bin_] + EDGES[bin_ + 1]) / 2 / unrest.COMPRESSION)
        after = mean_ + max(weight_, 1 / unrest.MEMORY) * (now - mean_)
        above = after - usual_
        surprise = 3 * max(above, 0.0) / max(spread_, 0.002)
        assert math.isclose(found[at], surprise, rel_tol=1e-3, abs_tol=1e-2)
        assert math.isclose(known.mean[at], after, rel_tol=1e-4, abs_tol=1e-4)
        assert math.isclose(known.usual[at], usual_ + weight_ * above, rel_tol=1e-4, abs_tol=1e-4)
        assert math.isclose(known.spread[at], spread_ + weight_ * (abs(above) - spread_), rel_tol=1e-4, abs_tol=1e-4)
