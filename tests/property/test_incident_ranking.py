"""The ranking of what the affected share, against counting one device after another and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.incidents.fleet import ATTRIBUTES, Fleet, Kind
from analytics.incidents.hypergeometric import holm, log10_tail
from analytics.incidents.ranking import Ranked, named, rank, shared

KINDS = st.tuples(st.sampled_from("ns"), st.sampled_from(["", "g"]), st.sampled_from("ab"), st.sampled_from("123"))


def exact_tail(fleet: int, having: int, affected: int, both: int) -> Fraction:
    ways = sum(
        math.comb(having, x) * math.comb(fleet - having, affected - x)
        for x in range(both, min(having, affected) + 1)
        if 0 <= affected - x <= fleet - having
    )
    return Fraction(ways, math.comb(fleet, affected))


@given(st.data())
def test_the_tail_is_the_sum_over_all_draws(data: st.DataObject) -> None:
    fleet = data.draw(st.integers(1, 300))
    having, affected = data.draw(st.integers(0, fleet)), data.draw(st.integers(0, fleet))
    both = data.draw(st.integers(0, min(having, affected)))
    exact = exact_tail(fleet, having, affected, both)
    expected = math.log10(exact.numerator) - math.log10(exact.denominator)
    assert log10_tail(fleet, having, affected, both) == pytest.approx(expected, abs=1e-9)


def test_the_tail_of_large_fleets_is_finite_and_impossible_counts_are_refused() -> None:
    assert log10_tail(1_000_000, 80_000, 9_000, 8_460) < -8000
    assert log10_tail(1_000_000, 1_000, 10_000, 10) == pytest.approx(math.log10(0.5420), abs=0.01)
    with pytest.raises(ValueError, match="no counts"):
        log10_tail(10, 3, 5, 4)


@given(st.lists(st.floats(-50, 0), max_size=20), st.integers(0, 20))
def test_holm_is_what_the_paper_says(logs: list[float], more: int) -> None:
    logs.sort()
    looked_at = len(logs) + more
    expected = [max(min(0.0, logs[i] + math.log10(looked_at - i)) for i in range(at + 1)) for at in range(len(logs))]
    assert holm(logs, looked_at) == expected


def counted_one_by_one(kinds: list[Kind], affected: set[int]) -> dict[tuple[tuple[str, str], ...], tuple[int, int]]:
    """Of every value and pair of values that an affected device has: how many affected have it, how many devices."""
    found = {}
    for size in (1, 2):
        for places in combinations(range(len(ATTRIBUTES)), size):
            for chosen in {tuple(kinds[device][p] for p in places) for device in affected}:
                having = {n for n, kind in enumerate(kinds) if tuple(kind[p] for p in places) == chosen}
                if all(chosen) and len(having) < len(kinds):
                    name = tuple((ATTRIBUTES[p], value) for p, value in zip(places, chosen, strict=True))
                    found[name] = (len(having & affected), len(having))
    return found


@settings(deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=60), st.data())
def test_every_attribute_and_pair_is_counted_and_ranked(kinds: list[Kind], data: st.DataObject) -> None:
    affected = data.draw(st.sets(st.integers(0, len(kinds) - 1), min_size=1))
    fleet = Fleet(1 << 20)
    for number, kind in enumerate(kinds):
        fleet.put(f"d{number}", kind)
    ranking = rank(fleet.counted_with([(f"d{number}", kinds[number]) for number in sorted(affected)]))
    expected = counted_one_by_one(kinds, affected)
    narrower = {
        name: numbers
        for name, numbers in expected.items()
        if len(name) == 1 or all(numbers[1] < expected.get((half,), (0, len(kinds)))[1] for half in name)
    }
    assert {one.attributes: (one.both, one.having) for one in ranking.ranked} == narrower
    assert ranking.looked_at == len(expected)
    for one in ranking.ranked:
        exact = exact_tail(len(kinds), one.having, len(affected), one.both)
        assert one.log10_p == pytest.approx(math.log10(exact.numerator) - math.log10(exact.denominator), abs=1e-9)
    weights = [one.weight for one in ranking.ranked]
    assert weights == sorted(weights)
    corrected = sorted(one.log10_p for one in shared(ranking, 100))
    assert corrected == pytest.approx(holm(sorted(one.log10_p for one in ranking.ranked), ranking.looked_at))


def test_devices_count_as_what_they_were() -> None:
    fleet = Fleet(1 << 20)
    for number in range(20):
        fleet.put(f"d{number}", ("north", "", "rev-b" if number < 10 else "rev-a", "2.2.0"))
    # Five of rev-b had 2.3.0 when it began; they have been rolled back since.
    was: Kind = ("north", "", "rev-b", "2.3.0")
    ranking = rank(fleet.counted_with([(f"d{number}", was) for number in range(5)]))
    assert ranking.ranked[0] == Ranked((("firmware", "2.3.0"),), 5, 5, 5, 20, log10_tail(20, 5, 5, 5))
    assert shared(ranking, 1)[0].sentence == "firmware 2.3.0: 100 % of the affected, 25 % of the fleet"


def test_a_pair_is_named_where_neither_half_is_enough() -> None:
    fleet, affected = Fleet(1 << 20), []
    for number in range(800):
        kind = (f"site-{number % 10}", "pumps", f"rev-{'abcd'[number % 4]}", "2.3.0" if number % 3 == 0 else "2.2.0")
        fleet.put(f"d{number}", kind)
        if kind[2:] == ("rev-b", "2.3.0") or number in {1, 2, 5, 7}:
            affected.append((f"d{number}", kind))
    first = shared(rank(fleet.counted_with(affected)), 1)[0]
    assert first.attributes == {"hardware": "rev-b", "firmware": "2.3.0"}
    assert first.sentence == "firmware 2.3.0 on rev-b: 94 % of the affected, 8 % of the fleet"
    assert first.log10_p < -50


def test_what_is_shared_is_named_in_words() -> None:
    whole = {"firmware": "2.3.0", "hardware": "rev-b", "group": "pumps", "site": "north"}
    assert named(whole) == "firmware 2.3.0 on rev-b in group pumps at north"
    assert named({"hardware": "rev-b", "site": "north"}) == "hardware rev-b at north"
    assert named({"group": "pumps"}) == "group pumps"
    assert named({"site": "north"}) == "site north"
