"""Interval sets against Python's own sets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.door.intervals import Intervals

NUMBERS = st.lists(st.integers(0, 40), max_size=60)


@settings(deadline=None)
@given(NUMBERS)
def test_intervals_are_a_set(numbers: list[int]) -> None:
    intervals, oracle = Intervals(), set[int]()
    for number in numbers:
        assert (number in intervals) == (number in oracle)
        intervals = intervals.including(number)
        oracle.add(number)
        assert {n for first, last in intervals.spans for n in range(first, last + 1)} == oracle
        assert len(intervals) == len(oracle)


@settings(deadline=None)
@given(NUMBERS)
def test_spans_are_sorted_and_never_touch(numbers: list[int]) -> None:
    intervals = Intervals()
    for number in numbers:
        intervals = intervals.including(number)
    flat = [number for span in intervals.spans for number in span]
    assert flat == sorted(flat)
    assert all(after[0] - before[1] > 1 for before, after in zip(intervals.spans, intervals.spans[1:], strict=False))


@settings(deadline=None)
@given(NUMBERS, st.integers(0, 45))
def test_each_number_knows_its_span(numbers: list[int], number: int) -> None:
    intervals = Intervals()
    for included in numbers:
        intervals = intervals.including(included)
    span = intervals.span_of(number)
    assert (span is None) == (number not in numbers)
    if span:
        assert span[0] <= number <= span[1]
        assert span in intervals.spans


@settings(deadline=None)
@given(st.sets(st.integers(0, 40)))
def test_missing_are_the_holes_below_the_greatest(numbers: set[int]) -> None:
    intervals = Intervals()
    for number in numbers:
        intervals = intervals.including(number)
    assert intervals.missing_from(0) == len(set(range(max(numbers, default=-1) + 1)) - numbers)
