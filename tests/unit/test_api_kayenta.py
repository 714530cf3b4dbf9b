"""The judge of two series, asked once: what Kayenta passes wrongly is not passed, what is alike mostly is."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.api.kayenta import (
    Analysis,
    CanaryAnalysis,
    CanaryConfig,
    Classifier,
    JudgeRequest,
    MetricConfig,
    MetricSetPair,
    Values,
    judge,
)
from dashboards.api.two_samples import Direction, p_of_exceedances, p_of_ranks
from tests.examples import examples


def asked(
    *pairs: tuple[list[Any], list[Any]], weights: dict[str, float] | None = None, groups: bool = False, **analysis: Any
) -> dict[str, Any]:
    metrics = [
        MetricConfig(
            name=f"m{n}",
            groups=[f"g{n}"] if groups else [],
            analysis_configurations=Analysis(canary=CanaryAnalysis(**analysis)),
        )
        for n in range(len(pairs))
    ]
    config = CanaryConfig(metrics=metrics, classifier=Classifier(group_weights=weights or {}))
    series = [
        MetricSetPair(name=f"m{n}", values=Values(control=control, experiment=experiment))
        for n, (control, experiment) in enumerate(pairs)
    ]
    return judge(JudgeRequest(canary_config=config, metric_set_pair_list=series))


def word(answer: dict[str, Any]) -> str:
    return str(answer["score"]["classification"])


@pytest.mark.parametrize(
    ("control", "experiment"),
    [([0] * 6, [0, 1, 2, 1, 0, 0]), ([1] * 60, [1] * 53 + [100] * 7), ([1] * 20, [1] * 13 + [100] * 7)],
)
def test_what_kayenta_passes_wrongly_is_not_passed(control: list[float], experiment: list[float]) -> None:
    assert word(asked((control, experiment))) != "Pass"
    assert word(asked((experiment, control), direction=Direction.INCREASE)) == "Pass"


@pytest.mark.parametrize("law", ["normal", "lognormal", "counts"])
def test_two_draws_of_one_law_pass_and_a_shift_of_two_sigma_fails(law: str) -> None:
    chance = random.Random(11)

    def draw(shift: float) -> list[float]:
        sample = [chance.gauss(shift, 1.0) for _ in range(60)]
        return [math.exp(x) for x in sample] if law == "lognormal" else [float(round(3 * x)) for x in sample] if law == "counts" else sample  # fmt: skip

    passed = sum(word(asked((draw(0), draw(0)))) == "Pass" for _ in range(400)) / 400
    failed = sum(word(asked((draw(0), draw(2)))) == "Fail" for _ in range(200)) / 200
    assert passed >= 0.9
    assert failed >= 0.95


@settings(max_examples=examples(50))
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_an_exceedances_p_value_is_that_of_all_arrangements(control: list[int], experiment: list[int]) -> None:
    both = control + experiment
    beyond = sum(x > max(control) for x in experiment)
    top = sorted(range(len(both)), key=lambda n: both[n])[len(both) - beyond :]
    arrangements = list(combinations(range(len(both)), len(experiment)))
    hits = sum(set(top) <= set(chosen) for chosen in arrangements)
    assert p_of_exceedances(control, experiment) == pytest.approx(float(Fraction(hits, len(arrangements))))


def test_ranks_are_symmetric_and_say_nothing_of_constants() -> None:
    low, high = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]
    assert p_of_ranks(low, high) == pytest.approx(0.0152, abs=1e-3)
    assert p_of_ranks(high, low) > 0.98
    assert p_of_ranks([1.0] * 5, [1.0] * 7) == 1.0


def test_missing_values_and_metrics_without_data() -> None:
    gone: list[Any] = [None, "NaN", None]
    only_gone = asked((gone, [1.0]))
    assert (only_gone["results"][0]["classification"], word(only_gone)) == ("Nodata", "Fail")
    assert asked((gone, [1.0]), must_have_data=True)["results"][0]["classification"] == "NodataFailMetric"
    assert asked((gone, [0.0, 0.0]), nan_strategy="replace")["results"][0]["classification"] == "Pass"
    beside = asked((gone, [1.0]), ([1.0, 2.0] * 9, [2.0, 1.0] * 9))
    assert (beside["score"]["score"], word(beside)) == (100.0, "Pass")


def test_groups_weigh_and_critical_metrics_decide() -> None:
    good, bad = ([1.0, 2.0] * 20, [2.0, 1.0] * 20), ([1.0, 2.0] * 20, [8.0, 9.0] * 20)
    answer = asked(good, bad, weights={"g0": 80.0, "g1": 20.0}, groups=True)
    assert answer["score"] == {
        "score": 80.0,
        "classification": "Marginal",
        "classificationReason": "score 80, pass from 95 on",
    }
    assert [group["score"] for group in answer["groupScores"]] == [100.0, 0.0]
    assert asked(good, bad, weights={"g0": 60.0}, groups=True)["score"]["score"] == 60.0
    assert word(asked(good, bad, weights={"g0": 100.0, "g1": 0.0}, groups=True)) == "Pass"
    critical = asked(good, bad, weights={"g0": 100.0, "g1": 0.0}, groups=True, critical=True)
    assert critical["score"]["classificationReason"] == "the critical metric m1 did not pass"
