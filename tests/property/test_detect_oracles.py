"""Every vectorised function of detection does, row by row, what a plain loop would."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analytics.calibrate import BINS, EDGES, Tail, bins_of, exceedance, fit_tail, quantile, tail_rarity
from analytics.detect.merge import TERMS, merge
from analytics.detectors.alike import LEAST, relative, shift
from analytics.detectors.hysteresis import CALM, advance, middle_of_three
from analytics.detectors.kinds import COUNTER, GAUGE, GROWING, STATE, observe
from analytics.detectors.level import (
    CLIP,
    CLIPPED_VARIANCE,
    FREEDOM_MOST,
    LEVEL_MEMORY,
    SCALE_MEMORY,
    SEEN_MOST,
    UNCLIPPED,
    Levels,
    judge,
    learn,
)
from analytics.detectors.resolution import decimal_resolution, finer
from analytics.pair_index import MISSING, PairIndex, pair_keys

BYTES = st.integers(0, 255)
VALUES = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 2**37), st.integers(0, 2**24 - 1)), unique=True), st.integers(0, 200))
def test_the_pair_index_is_a_dictionary(pairs: list[tuple[int, int]], split: int) -> None:
    keys = np.array([(first << 24) | second for first, second in pairs], np.int64)
    ids = np.arange(len(pairs), dtype=np.int32)
    index = PairIndex(keys[:split], ids[:split])
    index.insert(keys[split:], ids[split:])
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    assert index.find(pair_keys(columns[:, 0], columns[:, 1])).tolist() == ids.tolist()
    assert index.find(np.array([2**62], np.int64)).tolist() == [MISSING]
    assert len(index) == len(pairs)


def test_the_pair_index_takes_many_at_once() -> None:
    keys = np.random.default_rng(1).permutation(200_000).astype(np.int64) << 24
    index = PairIndex()
    for part in np.array_split(np.arange(len(keys)), 7):
        index.insert(keys[part], part.astype(np.int32))
    assert (index.find(keys) == np.arange(len(keys))).all()
    assert (index.find(keys + 1) == MISSING).all()


@given(st.lists(st.tuples(BYTES, BYTES, BYTES)))
def test_the_middle_of_three_is_the_median(rows: list[tuple[int, int, int]]) -> None:
    columns = np.array(rows, np.uint8).reshape(-1, 3)
    assert middle_of_three(*columns.T).tolist() == [median(row) for row in rows]


@given(st.lists(st.tuples(st.integers(0, 1), BYTES, st.booleans(), st.booleans())))
def test_alarms_advance_as_row_by_row(rows: list[tuple[int, int, bool, bool]]) -> None:
    alarm, calm, exceeds, calms = (np.array(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    changes = advance(
        np.array(alarm, np.uint8), np.array(calm, np.uint8), np.array(exceeds, np.bool_), np.array(calms, np.bool_)
    )
    found = list(zip(*(column.tolist() for column in changes), strict=True))
    assert found == [_advance(*row) for row in rows]


def _advance(alarm: int, calm: int, exceeds: bool, calms: bool) -> tuple[int, int, bool, bool]:  # noqa: FBT001 - a row
    if not alarm:
        return (1, 0, True, False) if exceeds else (0, 0, False, False)
    in_a_row = min(calm, 254) + 1 if calms else 0
    return (0, 0, False, True) if in_a_row >= CALM else (1, in_a_row, False, False)


@given(st.lists(st.floats(0, 2.0**90, width=32)))
def test_bins_are_between_their_edges(surprises: list[float]) -> None:
    bins = bins_of(np.array(surprises, np.float32))
    for surprise, found in zip(surprises, bins.tolist(), strict=True):
        # The bins are made of float32 bits of surprise + 4, so that is where they are exact.
        shifted = float(np.float32(np.float32(surprise) + np.float32(4)))
        assert found == min(BINS - 1, int(np.searchsorted(EDGES + 4, shifted, side="right")) - 1)


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 6))))
def test_resolution_is_read_from_the_decimals(rows: list[tuple[int, int]]) -> None:
    values = np.array([number / 10**decimals for number, decimals in rows])
    found = decimal_resolution(values).tolist()
    for (number, decimals), resolution in zip(rows, found, strict=True):
        needed = decimals
        while needed and number % 10 == 0:
            number, needed = number // 10, needed - 1  # noqa: PLW2901 - the number without its trailing noughts
        assert math.isclose(resolution, 10.0**-needed if needed <= 4 else 0.0, rel_tol=1e-6)
    known = decimal_resolution(values[::-1])
    assert (finer(known, values) == np.minimum(known, found)).all()


ROW = st.tuples(
    st.floats(-1e6, 1e6, width=32),  # level
    st.floats(0, 1e6, width=32),  # scale
    st.floats(1, 1000, width=32),  # samples
    st.one_of(st.integers(0, SEEN_MOST), st.just(SEEN_MOST)),
    st.floats(-1e6, 1e6, width=32),
    st.integers(1, 100),
    st.floats(0.0009765625, 1e3, width=32),
)


@given(st.lists(ROW, min_size=1))
def test_level_and_scale_follow_as_row_by_row(rows: list[tuple[Any, ...]]) -> None:
    level, scale, samples, seen, values, counts, least = (np.array(c, np.float32) for c in zip(*rows, strict=True))
    known = Levels(level, scale, samples, seen.astype(np.uint8))
    judged = judge(known, values, counts, least)
    learned = Levels(*(column.copy() for column in known))
    learn(learned, values, counts, judged)
    for at, row in enumerate(rows):
        expected_scale, expected_surprise, expected_levels = _level(row)
        assert math.isclose(judged.scale[at], expected_scale, rel_tol=1e-5)
        assert math.isclose(judged.surprise[at], expected_surprise, rel_tol=1e-4, abs_tol=1e-3)
        found = [float(column[at]) for column in learned]
        assert np.allclose(found, expected_levels, rtol=1e-3, atol=1e-3 * judged.scale[at])


def _level(row: tuple[Any, ...]) -> tuple[float, float, tuple[float, ...]]:
    level, scale, samples, seen, value, count, least = row
    fewer = max(1.0, samples / count)
    measured = max(scale * math.sqrt(fewer), least)
    freedom = min(max(seen - 1, 1), FREEDOM_MOST)
    widening = 1 + 1 / max(seen, 1)
    squared = min(abs(value - level) / measured, 1e12) ** 2 / widening
    surprise = ((8 * freedom + 1) / (8 * freedom + 3)) ** 2 * freedom * math.log1p(squared / freedom)
    if seen == 0:
        return measured, surprise, (value, 0.0, count, 1)
    young = seen < UNCLIPPED
    residual = value - level
    if not young:
        residual = max(-CLIP * measured, min(CLIP * measured, residual))
    weight = max(1 / seen, 1 / SCALE_MEMORY)
    spread = residual**2 / fewer / widening / (1 if young else CLIPPED_VARIANCE)
    after = level + max(1 / (seen + 1), 1 / LEVEL_MEMORY) * residual
    variance = scale**2 + weight * (spread - scale**2)
    usual = samples + weight * (count - samples)
    return measured, surprise, (after, math.sqrt(variance), usual, min(seen + 1, SEEN_MOST))


KIND = st.sampled_from([GAUGE, COUNTER, GROWING, STATE])
PREVIOUS = st.one_of(VALUES, st.just(math.nan))


@given(st.lists(st.tuples(KIND, VALUES, VALUES, PREVIOUS, st.integers(1, 10**7)), min_size=1))
def test_what_is_looked_at_is_chosen_row_by_row(rows: list[tuple[int, float, float, float, int]]) -> None:
    kind, means, last, previous, elapsed = (np.array(column) for column in zip(*rows, strict=True))
    seen = observe(kind.astype(np.uint8), means, last, previous, elapsed)
    for at, (what, mean, value, before, passed) in enumerate(rows):
        rated = what in {COUNTER, GROWING}
        usable = what != STATE and not (rated and (math.isnan(before) or value < before))
        assert (at in seen.idle, at in seen.rated) == (not usable, rated)
        expected = (value - before) / passed * 1000 if rated else mean
        assert math.isclose(seen.values[at], expected if usable else 0.0, rel_tol=1e-12)


@given(st.dictionaries(st.integers(0, BINS - 1), st.integers(0, 10_000), max_size=12), st.floats(1e-12, 0.05))
def test_a_tail_and_its_quantiles_agree(occupied: dict[int, int], probability: float) -> None:
    counts = np.zeros(BINS, np.int64)
    counts[list(occupied)] = list(occupied.values())
    tail = fit_tail(counts)
    surprise = quantile(tail, probability)
    assert surprise >= tail.start
    assert tail.share < probability or math.isclose(exceedance(tail, surprise), probability, rel_tol=1e-6)


SCALE, SHAPE = st.floats(0.1, 100), st.one_of(st.just(0.0), st.floats(0.001, 0.5))


@given(st.floats(0, 100), st.floats(1e-6, 0.1), SCALE, SHAPE, st.floats(0, 1e4))
def test_rarity_is_minus_the_logarithm_of_the_exceedance(
    start: float, share: float, scale: float, shape: float, surprise: float
) -> None:
    tail = Tail(start, share, scale, shape)
    expected = exceedance(tail, surprise)
    (found,) = tail_rarity(tail, np.array([surprise]))
    assert expected == 0.0 or math.isclose(found, -math.log(expected), rel_tol=1e-6, abs_tol=1e-6)


RARITY = st.floats(0, 50)


@given(st.lists(st.tuples(*[RARITY] * len(TERMS)), min_size=1))
def test_the_merged_probability_is_weighted_bonferroni(rows: list[tuple[float, ...]]) -> None:
    merged = merge(np.array(rows).T)
    for at, row in enumerate(rows):
        weighed = [math.exp(-rarity) / terms.share for rarity, terms in zip(row, TERMS, strict=True)]
        assert math.isclose(math.exp(-merged.rarity[at]), min(1.0, *weighed), rel_tol=1e-6)
        assert math.isclose(weighed[merged.detector[at]], min(weighed), rel_tol=1e-6)


@given(st.lists(st.floats(-100, 100, width=32), max_size=30), st.floats(-100, 100, width=32))
def test_what_like_devices_share_is_what_three_quarters_exceed(distances: list[float], mine: float) -> None:
    common = shift(np.array(distances, np.float32))
    if len(distances) < LEAST:
        assert common == 0.0
    else:
        low, high = np.quantile(np.array(distances, np.float32), (0.25, 0.75))
        assert math.isclose(common, low if low > 0 else min(high, 0.0), rel_tol=1e-6)
    apart = relative(np.array([mine], np.float32), common)[0]
    assert math.isclose(apart, (mine - common) / math.hypot(1, common / 2), rel_tol=1e-3, abs_tol=1e-3)
