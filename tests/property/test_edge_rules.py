"""Rules against a naive loop: which windows begin, hold and end an alarm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.rules.config import RuleConfig
from edge_aggregator.rules.watch import Change, Stage, Watch
from edge_aggregator.windows.rollups import Rollups
from ingest.contract.details import NO_DETAILS
from tests.examples import examples

WIDTH = 10_000
values = st.sampled_from([0.0, 1.0, 4.0, 5.0, 7.0, 8.0, 9.0, 20.0])
windows = st.lists(st.tuples(st.integers(0, 2), values, st.sampled_from([0.0, 0.0, 2.0]), st.booleans()), max_size=40)
rules = st.sampled_from(
    [
        RuleConfig(name="above", above=7.0),
        RuleConfig(name="hysteresis", above=7.0, leave=4.0, for_windows=2),
        RuleConfig(name="below", below=5.0, leave=8.0),
        RuleConfig(name="rate", kind="rate", above=0.3, leave=0.1),
        RuleConfig(name="flat", kind="flat", within=1.0, for_windows=3),
    ]
)


class Naive:
    """One series under one rule, one window after the other."""

    def __init__(self, rule: RuleConfig) -> None:
        self.rule, self.stage, self.streak, self.since = rule, Stage.IDLE, 0, 0
        self.before: tuple[float, int] | None = None

    def see(self, start: int, value: float, spread: float) -> tuple[Stage, int] | None:
        """Judge a window whose values lie between `value` and `value + spread`, and are `value` on the whole."""
        judged, end = value, start + WIDTH
        if self.rule.kind == "flat":
            moved = math.nan if self.before is None else max(spread, abs(value - self.before[0]))
            enter, leave = moved <= self.rule.within, moved > self.rule.within
        else:
            if self.rule.kind == "rate":
                judged = math.nan if self.before is None else (value - self.before[0]) / ((end - self.before[1]) / 1000)
            enter, leave = self.beyond(judged)
        self.before = (value, end)
        was = (self.stage, self.streak)
        if self.stage is Stage.FIRING:
            self.stage = Stage.IDLE if leave else Stage.FIRING
            return (self.stage, 0) if leave else None
        self.streak = self.streak + 1 if enter else 0
        self.stage = (
            Stage.IDLE if not enter else Stage.FIRING if self.streak >= self.rule.for_windows else Stage.PENDING
        )
        told = (self.stage, self.streak)
        if self.stage is Stage.FIRING:
            self.streak = 0
        return told if told != was else None

    def beyond(self, value: float) -> tuple[bool, bool]:
        rule = self.rule
        if rule.above is not None:
            return value > rule.above, value <= rule.above if rule.leave is None else value < rule.leave
        assert rule.below is not None
        return value < rule.below, value >= rule.below if rule.leave is None else value > rule.leave


def rollups(rows: list[tuple[int, int, float, float]]) -> Rollups:
    """Rows of (series, start, value, spread)."""
    columns = list(zip(*sorted(rows), strict=True)) or [()] * 4
    series, start = (np.array(column, np.int64) for column in columns[:2])
    value, spread = (np.array(column, np.float64) for column in columns[2:])
    two = np.full(len(series), 2)
    zero = np.zeros(len(series), np.int64)
    width = np.full(len(series), WIDTH)
    return Rollups(**_named(series, start, width, two, 2 * value, value, value + spread, zero))


def _named(*columns: Any) -> dict[str, Any]:
    series, start, width, two, total, low, high, zero = columns
    known = {"series": series, "start": start, "width": width, "samples": two, "sum": total, "sumsq": total}
    known |= {"min": low, "max": high, "last": low, "revision": zero, "net": two, "details": NO_DETAILS}
    return {name: known.get(name, zero) for name in Rollups._fields}


@settings(max_examples=examples(150), deadline=None)
@given(rules, windows)
def test_a_rule_says_what_a_naive_loop_says(rule: RuleConfig, story: list[tuple[int, float, float, bool]]) -> None:
    watch, oracles = Watch(rule), [Naive(rule) for _ in range(3)]
    watch.columns.grow_to(3)
    watch.columns["watched"][:] = True
    flush: list[tuple[int, int, float, float]] = []
    for number, (series, value, spread, ends_flush) in enumerate([*story, (0, 0.0, 0.0, True)]):
        flush.append((series, number * WIDTH, value, spread))
        if not ends_flush:
            continue
        found = watch.step(rollups(flush))
        expected = [
            (number, told, start + WIDTH)
            for number, start, value, spread in sorted(flush)
            if (told := oracles[number].see(start, value, spread))
        ]
        assert sorted((one.series, (one.stage, one.streak), one.at) for one in found) == sorted(expected)
        assert watch.step(rollups(flush)) == []  # what was judged once is not judged again
        flush = []


def test_windows_of_others_and_older_ones_say_nothing() -> None:
    watch = Watch(RuleConfig(name="r", above=1.0))
    watch.columns.grow_to(2)
    watch.columns["watched"][0] = True
    assert watch.step(rollups([(1, 0, 9.0, 0.0)])) == []
    (fired,) = watch.step(rollups([(0, 50_000, 9.0, 0.0)]))
    assert fired == Change(0, Stage.IDLE, Stage.FIRING, 1, 50_000, 60_000, 9.0)
    assert watch.step(rollups([(0, 40_000, 0.0, 0.0)])) == []


@pytest.mark.parametrize(
    ("settings_given", "told"),
    [
        ({"name": "a b"}, "name is 'a b'"),
        ({}, "needs either above or below, found neither"),
        ({"above": 1.0, "below": 0.0}, "needs either above or below, found above and below"),
        ({"above": 1.0, "leave": 2.0}, "leave is 2.0, expected at most above"),
        ({"below": 1.0, "leave": 0.0}, "leave is 0.0, expected at least below"),
        ({"kind": "flat", "above": 1.0}, "has no above"),
        ({"kind": "silence", "metric": "x"}, "about whole devices"),
        ({"above": 1.0, "for_windows": 0}, "for_windows is 0"),
        ({"kind": "flat", "within": -1.0}, "within is -1.0"),
        ({"above": 1.0, "message": "x" * 501}, "message has 501"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(settings_given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RuleConfig(**({"name": "r"} | settings_given))
