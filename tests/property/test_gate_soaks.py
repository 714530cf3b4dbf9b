"""The bets on soaked values against loops and against all arrangements of the arms: nobody gains by betting on the null."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations, product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.eprocess import bounded, counts, pairs, rank
from analytics.rollouts.eprocess.soak import margin_of, measures
from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.matching import Matching
from analytics.rollouts.risk import counts_before
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Scale, Worse
from tests.examples import examples

SILENCE = Guard(name="silence", kind=GuardKind.SILENCE)
LATENCY = Guard(name="latency", kind=GuardKind.SOAK)
values = st.floats(-5, 5).map(lambda x: round(x, 1))


def enrolled(n: int, arm: Arm, stratum: str = "a", at: int = 1) -> Evidence:
    return Evidence(
        rollout="r", tenant="t", site="s", device=f"d{n}", stratum=stratum, arm=arm, kind=EvidenceKind.ENROLLED, at=at
    )


def soaked(n: int, value: float, at: int, metric: str = "latency", before: float | None = None) -> Evidence:
    return Evidence(
        rollout="r", tenant="t", site="s", device=f"d{n}", stratum="", arm=Arm.CONTROL, kind=EvidenceKind.SOAKED,
        at=at, metric=metric, value=value, before=before,
    )  # fmt: skip


def gate_after(guard: Guard, rows: list[Evidence]) -> Gate:
    gate = new_gate([guard, SILENCE], 1e-12)
    gate.apply(rows)
    return gate


@settings(max_examples=examples(60))
@given(st.lists(values, max_size=300), st.integers(0, 300))
def test_normal_scores_are_those_of_a_loop_and_the_same_in_portions(sample: list[float], cut: int) -> None:
    expected = []
    for n, value in enumerate(sample):
        seen = sample[: n + 1]
        middle = (sum(x < value for x in seen) + sum(x == value for x in seen) / 2) / len(seen)
        expected.append(NormalDist().inv_cdf((math.floor(middle * 1024) + 0.5) / 1024))
    one, pool = rank.normal_scores(np.array(sample), np.zeros(0))
    first, part = rank.normal_scores(np.array(sample[:cut]), np.zeros(0))
    second, parts = rank.normal_scores(np.array(sample[cut:]), part)
    assert one == pytest.approx(expected)
    assert np.array_equal(np.concatenate([first, second]), one)
    assert np.array_equal(parts, pool)


@settings(max_examples=examples(25))
@given(
    st.lists(values, min_size=5, max_size=6),
    st.integers(1, 4),
    st.sampled_from([GuardKind.SOAK, GuardKind.COUNT]),
    st.sampled_from(list(Worse)),
)
def test_over_all_arrangements_of_the_arms_the_mean_e_value_is_one(
    sample: list[float], canaries: int, kind: GuardKind, worse: Worse
) -> None:
    guard = Guard(name="latency", kind=kind, worse=worse, scale=Scale.DIFFERENCE, margin=0.5)
    found = []
    for chosen in combinations(range(len(sample)), canaries):
        rows = [enrolled(n, Arm.CANARY if n in chosen else Arm.CONTROL) for n in range(len(sample))]
        rows += [soaked(n, value, 2 + n // 2) for n, value in enumerate(sample)]
        found.append(10 ** gate_after(guard, rows).bets[0].log10_harm)
    assert sum(found) / len(found) == pytest.approx(1.0, abs=1e-6)


@settings(max_examples=examples(40))
@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=9), st.sampled_from([0.25, 1.0, 2.0]))
def test_a_pairs_sign_is_a_fair_coin_at_the_margin_and_betting_on_it_gains_nothing(
    sizes: list[float], k: float
) -> None:
    # The scale comes from sizes alone, so that signs can be turned one by one.
    seen = np.array([5.0, 7.0])
    products = [
        math.exp(pairs.log_factors(np.array(signs) * sizes, seen, np.array([k]))[0].sum())
        for signs in product([-1.0, 1.0], repeat=len(sizes))
    ]
    assert sum(products) / len(products) == pytest.approx(1.0)


def test_the_first_pairs_give_a_scale_and_are_not_bet_on() -> None:
    factors, seen = pairs.log_factors(np.array([-1.0] * 6), np.zeros(2), np.array([1.0]))
    assert not factors[: pairs.LEAST_PAIRS].any()
    assert factors[pairs.LEAST_PAIRS, 0] > 0
    assert seen.tolist() == [6.0, 6.0]


@given(st.floats(-1, 1), st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_bounded_mean_at_the_margin_gains_nothing(low: float, margin: float, stake: float) -> None:
    # Two-point laws with the margin as mean are the extreme ones.
    high = 1.0
    low = min(low, margin)
    p = (margin - low) / (high - low) if high > low else 1.0
    factors = bounded.log_factors(np.array([high, low]), np.array([stake]), margin=margin)[:, 0]
    assert p * math.exp(factors[0]) + (1 - p) * math.exp(factors[1]) == pytest.approx(1.0)


@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_classes_of_counts_are_the_numbers_of_binary_digits(sample: list[int]) -> None:
    expected = [min(n.bit_length(), counts.MOST_CLASSES - 1) for n in sample]
    assert counts.classes(np.array(sample, dtype=float)).tolist() == expected


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.integers(0, 2), values, st.booleans()), max_size=40), st.integers(0, 40))
def test_pairs_are_those_of_a_loop_and_the_same_in_portions(sample: list[tuple[int, float, bool]], cut: int) -> None:
    waiting: dict[tuple[int, bool], list[float]] = defaultdict(list)
    expected = []
    for group, value, canary in sample:
        if waiting[group, not canary]:
            other = waiting[group, not canary].pop(0)
            expected.append((value, other) if canary else (other, value))
        else:
            waiting[group, canary].append(value)
    for parts in ([sample], [sample[:cut], sample[cut:]]):
        matching, found = Matching(), []
        for part in parts:
            group, value, canary = (np.array([row[n] for row in part]) for n in range(3))
            paired = matching.add(group.astype(np.int64), value.astype(float), canary.astype(bool))
            found += list(zip(paired.canary.tolist(), paired.control.tolist(), strict=True))
        assert found == expected


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from([1, -1]), st.booleans()), max_size=30),
    st.booleans(),
)
def test_counts_before_are_those_of_a_loop(rows: list[tuple[int, int, int, bool]], singly: bool) -> None:  # noqa: FBT001
    carried = np.array([[3, 4], [0, 0], [7, 1]])
    stratum, key = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(2))
    change = np.array([[row[2] * row[3], row[2] * (not row[3])] for row in rows], dtype=np.int64).reshape(-1, 2)
    found = counts_before(carried, stratum, key, change, singly=singly)
    for n, (place, at, _, _) in enumerate(rows):
        earlier = [
            m for m in range(len(rows))
            if stratum[m] == place and (key[m] < at or (singly and key[m] == at and m < n))
        ]  # fmt: skip
        assert found[n].tolist() == (carried[place] + change[earlier].sum(axis=0)).tolist()


def test_measures_know_direction_scale_and_the_own_past() -> None:
    nan = math.nan
    lower = Guard(name="g", kind=GuardKind.SOAK, worse=Worse.LOWER, scale=Scale.DIFFERENCE, margin=3.0)
    found, own = measures(lower, np.array([5.0, 5.0, nan]), np.array([nan, 2.0, nan]))
    assert found.tolist() == [-5.0, -3.0, 1e12]
    assert own.tolist() == [False, True, False]
    assert margin_of(lower) == 3.0
    ratios, _ = measures(LATENCY, np.array([2.0, 0.0, math.inf]), np.array([1.0, nan, nan]))
    assert ratios == pytest.approx([math.log(2.0), math.log(1e-300), 1e12])
    assert margin_of(LATENCY) == pytest.approx(math.log(1.5))
    share = Guard(name="g", kind=GuardKind.SHARE, margin=0.1)
    assert measures(share, np.array([0.3, 7.0]), np.array([0.1, nan]))[0].tolist() == [0.3, 1.0]


def worlds(kind: GuardKind, harm: float, devices: int = 400) -> list[Evidence]:
    chance = np.random.default_rng(7)
    rows = [enrolled(n, Arm.CANARY if n % 2 else Arm.CONTROL) for n in range(devices)]
    for n in range(devices):
        bad = harm if n % 2 else 0.0
        value = {
            GuardKind.SOAK: math.exp(chance.normal(bad, 0.3)),
            GuardKind.SHARE: min(1.0, chance.random() * 0.3 + bad),
            GuardKind.COUNT: float(chance.poisson(2.0 * math.exp(bad))),
        }[kind]
        rows.append(soaked(n, value, 10 + n))
    return rows


@pytest.mark.parametrize(
    ("kind", "harm", "margin"), [(GuardKind.SOAK, 0.2, 1.25), (GuardKind.SHARE, 0.2, 0.1), (GuardKind.COUNT, 1.0, 0.3)]
)
def test_harm_is_found_and_harmlessness_shown_by_every_kind(kind: GuardKind, harm: float, margin: float) -> None:
    guard = Guard(name="latency", kind=kind, margin=margin)
    bad, good = (gate_after(guard, worlds(kind, h)).bets[0] for h in (harm, 0.0))
    assert bad.log10_harm > 3.0
    assert bad.log10_safe < 1.0
    assert good.log10_safe > 2.0
    assert good.log10_harm < 1.0
    assert good.events == (200, 200)


def test_two_sided_guards_find_either_direction_and_never_show_harmlessness() -> None:
    guard = Guard(name="latency", kind=GuardKind.SOAK, worse=Worse.DIFFERENT)
    for harm in (0.2, -0.2):
        bets = gate_after(guard, worlds(GuardKind.SOAK, harm)).bets[0]
        assert bets.log10_harm > 3.0
        assert bets.log10_safe == 0.0


def test_the_own_past_finds_what_the_differences_between_devices_hide() -> None:
    chance = np.random.default_rng(3)
    level = chance.normal(0.0, 0.6, 300)
    rows = [enrolled(n, Arm.CANARY if n % 2 else Arm.CONTROL) for n in range(300)]
    after = np.exp(level + chance.normal(0.0, 0.05, 300) + np.where(np.arange(300) % 2, 0.05, 0.0))
    plain = [soaked(n, after[n], 10 + n) for n in range(300)]
    known = [soaked(n, after[n], 10 + n, before=math.exp(level[n])) for n in range(300)]
    assert gate_after(LATENCY, rows + plain).bets[0].log10_harm < 1.0
    assert gate_after(LATENCY, rows + known).bets[0].log10_harm > 3.0


def test_a_control_that_left_may_come_back_as_a_canary_of_a_new_wave() -> None:
    rows = [enrolled(n, Arm.CANARY if n < 2 else Arm.CONTROL) for n in range(4)]
    left = Evidence(
        rollout="r", tenant="t", site="s", device="d3", stratum="", arm=Arm.CONTROL, kind=EvidenceKind.CENSORED, at=5
    )
    gate = gate_after(LATENCY, [*rows, left, enrolled(3, Arm.CANARY, stratum="a", at=6), enrolled(3, Arm.CANARY, at=7)])
    assert gate.cohort.enrolled == (3, 2)
    assert gate.bets[1].exposure.at_risk.sum(axis=0).tolist() == [3, 1]
