"""Kayenta's judge: metrics of a canary and its control in, a classification and a score out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from dashboards.api.two_samples import Comparison, Direction, compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "tidegate"
PASS, FAIL, NO_DATA, NO_DATA_FAILS = "Pass", "Fail", "Nodata", "NodataFailMetric"
_COUNTED = ("Pass", "High", "Low", NO_DATA_FAILS)


class Incoming(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What Kayenta sends; fields that are not known here are passed over."""


class CanaryAnalysis(Incoming, frozen=True, kw_only=True):
    """How one metric is to be judged."""

    direction: Direction = Direction.EITHER
    critical: bool = False
    must_have_data: bool = False
    nan_strategy: str = "remove"


class Analysis(Incoming, frozen=True, kw_only=True):
    """The configuration of a metric's analysis."""

    canary: CanaryAnalysis = CanaryAnalysis()


class MetricConfig(Incoming, frozen=True, kw_only=True):
    """One metric of the configuration."""

    name: str
    groups: list[str] = []
    analysis_configurations: Analysis = Analysis()


class Classifier(Incoming, frozen=True, kw_only=True):
    """What each group of metrics weighs."""

    group_weights: dict[str, float] = {}


class CanaryConfig(Incoming, frozen=True, kw_only=True):
    """The configuration of an analysis."""

    metrics: list[MetricConfig] = []
    classifier: Classifier = Classifier()


class Thresholds(Incoming, frozen=True):
    """From which scores on the whole is a pass, and marginal."""

    pass_: float = msgspec.field(name="pass", default=95.0)
    marginal: float = 75.0


class Values(Incoming, frozen=True):
    """The two series; null is a missing value, and so is the text "NaN"."""

    control: list[float | str | None] = []
    experiment: list[float | str | None] = []


class MetricSetPair(Incoming, frozen=True, kw_only=True):
    """A metric of both sides."""

    name: str
    id: str = ""
    tags: dict[str, str] = {}
    values: Values = Values()


class JudgeRequest(Incoming, frozen=True, kw_only=True):
    """The body of `POST /judge`."""

    canary_config: CanaryConfig = CanaryConfig()
    score_thresholds: Thresholds = Thresholds()
    metric_set_pair_list: list[MetricSetPair] = []


def judge(request: JudgeRequest) -> dict[str, Any]:
    """The answer: each metric's classification, each group's score, and the whole's."""
    configs = {config.name: config for config in request.canary_config.metrics}
    results = [
        _result(pair, configs.get(pair.name, MetricConfig(name=pair.name))) for pair in request.metric_set_pair_list
    ]
    groups = _group_scores(results)
    score = _score(results, groups, request.canary_config.classifier.group_weights)
    return {
        "judgeName": NAME,
        "results": results,
        "groupScores": groups,
        "score": {"score": score, **_classify(score, results, request.score_thresholds)},
    }


def _result(pair: MetricSetPair, config: MetricConfig) -> dict[str, Any]:
    asked = config.analysis_configurations.canary
    control, experiment = (_numbers(side, asked.nan_strategy) for side in (pair.values.control, pair.values.experiment))
    found = compare(control, experiment, asked.direction) if control and experiment else _without_data(asked)
    return {
        "name": pair.name,
        "id": pair.id,
        "tags": pair.tags,
        "groups": config.groups,
        "classification": found.classification,
        "classificationReason": found.reason,
        "experimentMetadata": {"stats": _stats(experiment)},
        "controlMetadata": {"stats": _stats(control)},
        "resultMetadata": {"ratio": _ratio(control, experiment)},
        "critical": asked.critical,
        "muted": False,
    }


def _without_data(asked: CanaryAnalysis) -> Comparison:
    # Nothing to compare is no harm and no health; who must have data says so.
    kind = NO_DATA_FAILS if asked.must_have_data or asked.critical else NO_DATA
    return Comparison(1.0, 1.0, kind, "a side has no values")


def _numbers(side: Sequence[float | str | None], nan_strategy: str) -> list[float]:
    numbers = [float(value) if isinstance(value, int | float) else math.nan for value in side]
    if nan_strategy == "replace":
        return [value if math.isfinite(value) else 0.0 for value in numbers]
    return [value for value in numbers if math.isfinite(value)]


def _stats(side: Sequence[float]) -> dict[str, float]:
    if not side:
        return {"count": 0}
    return {"count": len(side), "mean": math.fsum(side) / len(side), "min": min(side), "max": max(side)}


def _ratio(control: Sequence[float], experiment: Sequence[float]) -> float:
    below = math.fsum(control) / len(control) if control else 0.0
    return math.fsum(experiment) / len(experiment) / below if experiment and below else 1.0


def _group_scores(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(group for result in results for group in result["groups"])
    scores = []
    for name in names:
        ours = [r["classification"] for r in results if name in r["groups"] and r["classification"] in _COUNTED]
        score = 100.0 * ours.count(PASS) / len(ours) if ours else 0.0
        classification = NO_DATA if not ours else PASS if score == 100.0 else FAIL  # noqa: PLR2004 - all of them
        scores.append({"name": name, "score": score, "classification": classification, "classificationReason": ""})
    return scores


def _score(
    results: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], weights: Mapping[str, float]
) -> float:
    counted = [group for group in groups if group["classification"] != NO_DATA]
    if not counted:
        ours = [result["classification"] for result in results if result["classification"] in _COUNTED]
        return 100.0 * ours.count(PASS) / len(ours) if ours else 0.0
    unnamed = [group for group in counted if group["name"] not in weights]
    rest = max(0.0, 100.0 - sum(weights.values())) / max(1, len(unnamed))
    weighed = [(group["score"], weights.get(group["name"], rest)) for group in counted]
    total = sum(weight for _, weight in weighed)
    return sum(score * weight for score, weight in weighed) / total if total else 0.0


def _classify(score: float, results: Sequence[Mapping[str, Any]], thresholds: Thresholds) -> dict[str, str]:
    critical = next((r for r in results if r["critical"] and r["classification"] not in (PASS, NO_DATA)), None)
    if critical is not None:
        return {"classification": FAIL, "classificationReason": f"the critical metric {critical['name']} did not pass"}
    if all(result["classification"] == NO_DATA for result in results):
        return {"classification": FAIL, "classificationReason": "no metric has values on both sides"}
    if score >= thresholds.pass_:
        return {"classification": PASS, "classificationReason": ""}
    word = "Marginal" if score >= thresholds.marginal else FAIL
    return {"classification": word, "classificationReason": f"score {score:.4g}, pass from {thresholds.pass_:g} on"}
