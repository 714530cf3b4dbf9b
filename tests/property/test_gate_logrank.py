"""The logrank bets against exact enumeration: they are what the paper says, and nobody gains by betting on the null."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.eprocess.logrank import log_factors
from analytics.rollouts.eprocess.mixture import Mixture, log10_mixture
from analytics.rollouts.eprocess.stakes import HARM, SAFE
from ingest.contract.events import GuardKind
from tests.examples import examples

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
    assert not log_factors(*columns, HARM[GuardKind.CRASH].effects, log_null=0.0).any()


def naive_log10(times: list[Table], mixed: Mixture, null: float) -> float:
    total = 0.0
    for ratio, weight in zip(np.exp(mixed.effects), np.exp(mixed.log_weights), strict=True):
        product = 1.0
        for table in times:
            product *= float(probability(table, Fraction(ratio)) / probability(table, Fraction(null)))
        total += weight * product
    return math.log10(total)


@settings(max_examples=examples(40))
@given(st.lists(tables(), min_size=1, max_size=4), st.sampled_from([(HARM, 1.0), (SAFE, MARGIN)]))
def test_the_mixture_is_that_of_the_products(times: list[Table], bet: tuple[dict[GuardKind, Mixture], float]) -> None:
    mixed, null = bet[0][GuardKind.CRASH], bet[1]
    factors = log_factors(*np.array(times).T, mixed.effects, log_null=math.log(null))
    found = log10_mixture(np.cumsum(factors, axis=0), mixed)
    for seen in range(1, len(times) + 1):
        assert found[seen - 1] == pytest.approx(naive_log10(times[:seen], mixed, null), abs=1e-7)
