"""The logrank bets against exact enumeration: they are what the paper says, and nobody gains by betting on the null."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.bets import HARM_RATIOS, HARM_WEIGHTS, SAFE_RATIOS, SAFE_WEIGHTS, new_bets, play, settle
from analytics.rollouts.logrank import log_factors
from analytics.rollouts.risk import EventTime
from ingest.contract.events import Guard, GuardKind

MARGIN = 1.5


class Table(NamedTuple):
    """An event time: `canary` of `events` first events are canaries'."""

    canary: int
    events: int
    canaries: int
    controls: int


@st.composite
def tables(draw: st.DrawFn) -> Table:
    canaries, controls = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    events = draw(st.integers(0, canaries + controls))
    least, most = max(0, events - controls), min(events, canaries)
    return Table(draw(st.integers(least, most)), events, canaries, controls)


def probability(table: Table, ratio: Fraction) -> Fraction:
    """Fisher's noncentral hypergeometric law, term by term."""

    def ways(x: int) -> Fraction:
        return Fraction(math.comb(table.canaries, x) * math.comb(table.controls, table.events - x)) * ratio**x

    return ways(table.canary) / sum(ways(x) for x in possible(table))


def possible(table: Table) -> range:
    return range(max(0, table.events - table.controls), min(table.events, table.canaries) + 1)


def factor(table: Table, ratio: float, null: float) -> float:
    columns = [np.array([value]) for value in table]
    return math.exp(log_factors(*columns, np.log([ratio]), log_null=math.log(null))[0, 0])


@given(tables(), st.sampled_from([0.5, 1.0, 1.5, 3.0, 10.0]), st.sampled_from([1.0, 1.5]))
def test_a_factor_is_the_ratio_of_two_exact_probabilities(table: Table, ratio: float, null: float) -> None:
    expected = probability(table, Fraction(ratio)) / probability(table, Fraction(null))
    assert factor(table, ratio, null) == pytest.approx(float(expected), rel=1e-9)


@given(tables(), st.sampled_from([1.5, 3.0, 10.0]), st.sampled_from([0.2, 0.7, 1.0]))
def test_betting_on_harm_gains_nothing_when_there_is_none(table: Table, bet: float, truth: float) -> None:
    outcomes = [table._replace(canary=x) for x in possible(table)]
    mean = sum(float(probability(t, Fraction(truth))) * factor(t, bet, 1.0) for t in outcomes)
    assert mean <= 1 + 1e-9
    if truth == 1.0:
        assert mean == pytest.approx(1.0)


@given(tables(), st.sampled_from([1.0, 0.8]), st.sampled_from([1.5, 1.7, 5.0]))
def test_betting_on_harmlessness_gains_nothing_at_the_margin_or_beyond(table: Table, bet: float, truth: float) -> None:
    outcomes = [table._replace(canary=x) for x in possible(table)]
    mean = sum(float(probability(t, Fraction(truth))) * factor(t, bet, MARGIN) for t in outcomes)
    assert mean <= 1 + 1e-9


@given(st.integers(1, 9), st.integers(0, 1))
def test_a_stratum_with_one_arm_says_nothing_at_all(devices: int, canaries: int) -> None:
    table = Table(1, 1, devices, 0) if canaries else Table(0, 1, 0, devices)
    columns = [np.array([value]) for value in table]
    assert not log_factors(*columns, HARM_RATIOS, log_null=0.0).any()


def guard() -> Guard:
    return Guard(name="crash", kind=GuardKind.CRASH, margin=MARGIN)


def naive_log10(times: list[Table], ratios: np.ndarray, weights: np.ndarray, null: float) -> float:
    total = 0.0
    for ratio, weight in zip(np.exp(ratios), np.exp(weights), strict=True):
        product = 1.0
        for table in times:
            product *= float(probability(table, Fraction(ratio)) / probability(table, Fraction(null)))
        total += weight * product
    return math.log10(total)


@settings(max_examples=40)
@given(st.lists(tables(), max_size=4))
def test_a_guards_path_is_the_mixture_of_the_products(times: list[Table]) -> None:
    bets = new_bets([guard()])[0]
    path = play(bets, [EventTime(*table, at=0) for table in times])
    for seen in range(len(times) + 1):
        expected = naive_log10(times[:seen], HARM_RATIOS, HARM_WEIGHTS, 1.0)
        assert path.log10_harm[seen] == pytest.approx(expected, abs=1e-7)
        expected = naive_log10(times[:seen], SAFE_RATIOS, SAFE_WEIGHTS, MARGIN)
        assert path.log10_safe[seen] == pytest.approx(expected, abs=1e-7)


@settings(max_examples=40)
@given(st.lists(tables(), max_size=6), st.integers(0, 6))
def test_bets_end_in_the_same_bits_however_the_event_times_are_split(times: list[Table], cut: int) -> None:
    moments = [EventTime(*table, at=0) for table in times]
    whole, parts = new_bets([guard()])[0], new_bets([guard()])[0]
    settle(whole, play(whole, moments), len(moments))
    for part in (moments[:cut], moments[cut:]):
        settle(parts, play(parts, part), len(part))
    assert parts == whole
