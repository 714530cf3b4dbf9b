"""Sketches: within 1 % of the true quantiles, the same in any order and however merged, like PyPI's `ddsketch`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ddsketch import LogCollapsingLowestDenseDDSketch
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.sketch import ACCURACY, MOST_BUCKETS, joined, merged, quantiles, sketch, unlike

if TYPE_CHECKING:
    from random import Random

    from ingest.contract.sketch import Sketches

LEVELS = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
numbers = st.one_of(
    st.floats(-1e150, 1e150),
    st.floats(-1e3, 1e3),
    st.integers(-5, 5).map(float),
    st.sampled_from([0.0, 1e-151, -1e-151, 1e150, -1e150, 1.0]),
)
windows = st.lists(st.lists(numbers, min_size=1, max_size=40), min_size=1, max_size=5)


def of(groups: list[list[float]]) -> Sketches:
    index = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return sketch(index, np.array([value for group in groups for value in group], float), len(groups))


def same(one: Sketches, other: Sketches) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)) and not unlike(one, other).any()


@given(windows, st.randoms(use_true_random=False))
def test_order_and_merging_change_nothing(groups: list[list[float]], random: Random) -> None:
    whole = of([[value for group in groups for value in group]])
    shuffled = [random.sample(group, len(group)) for group in groups]
    assert same(of(shuffled), of(groups))
    assert same(merged(of(groups), np.zeros(len(groups), np.int64), 1), whole)
    assert same(joined([of([group]) for group in groups]), of(groups))
    assert same(of(groups).take(np.arange(len(groups))[::-1].copy()), of(groups[::-1]))
    assert of(groups).total().tolist() == [len(group) for group in groups]


@given(st.lists(st.one_of(st.floats(1e-5, 1e9), st.floats(-1e9, -1e-5), st.just(0.0)), min_size=1, max_size=200))
def test_each_quantile_is_within_one_percent_of_a_sample(values: list[float]) -> None:
    found = quantiles(of([values]), LEVELS)[0]
    ordered = sorted(values)
    for level, value in zip(LEVELS, found.tolist(), strict=True):
        true = ordered[math.floor(level * (len(values) - 1))]
        assert abs(value - true) <= ACCURACY * abs(true) * (1 + 1e-9)


@given(windows)
def test_quantiles_are_those_of_the_package(groups: list[list[float]]) -> None:
    for group, row in zip(groups, quantiles(of(groups), LEVELS).tolist(), strict=True):
        peer = LogCollapsingLowestDenseDDSketch(ACCURACY, MOST_BUCKETS)
        for value in group:
            peer.add(0.0 if abs(value) < 1e-150 else value)
        for level, found in zip(LEVELS, row, strict=True):
            expected = peer.get_quantile_value(level)
            # A number on the edge of two buckets may fall into either; both are within the accuracy.
            assert found == pytest.approx(expected, rel=2 * ACCURACY + 1e-6), (group, level)


@given(st.lists(st.floats(-300, 300), min_size=1, max_size=60))
def test_what_is_nearest_to_zero_collapses_and_the_rest_stays_exact(exponents: list[float]) -> None:
    values = [10.0 ** (exponent / 2) for exponent in exponents]
    found = of([values])
    assert len(found.bucket) <= MOST_BUCKETS
    assert found.bucket.max() - found.bucket.min() < MOST_BUCKETS
    assert found.samples.sum() + found.zeros.sum() == len(values)
    top = max(values)
    assert quantiles(found, [1.0])[0, 0] == pytest.approx(top, rel=ACCURACY * (1 + 1e-9)) or top < 1e-150


def test_wide_magnitudes_really_collapse() -> None:
    values = [1e-100, 1e-50, 1.0, 1e3]
    found = of([values, [-value for value in values]])
    assert found.above.tolist() == [3, 0]
    assert found.below.tolist() == [0, 3]
    assert quantiles(found, [1.0])[0, 0] == pytest.approx(1e3, rel=ACCURACY)
    assert quantiles(found, [0.0])[1, 0] == pytest.approx(-1e3, rel=ACCURACY)
