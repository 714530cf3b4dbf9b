"""What the gate answers, and what a Prometheus query makes of it."""

from __future__ import annotations

import math

import msgspec
import pytest

from dashboards.api.gates import gate_data
from dashboards.api.gauges import GAUGES, select
from dashboards.api.rollouts import Rollout
from dashboards.api.selectors import BadQueryError, Constant, Selector, format_value, parse_query
from ingest.contract.events import Outcome, PlanState
from tests.api_records import NOW
from tests.api_rollouts import plan, verdict


def judged(name: str, outcome: Outcome, log10_e: float = 1.5) -> Rollout:
    rollout = Rollout(name)
    rollout.plan = plan(name)
    rollout.judged(verdict(name, outcome, log10_e=log10_e, e_value=10.0 ** min(log10_e, 300.0)))
    return rollout


def test_a_verdict_is_answered_with_its_numbers_and_a_link() -> None:
    answer = msgspec.to_builtins(gate_data(judged("fw 1", Outcome.FAIL), "https://gate.example"))
    assert answer == {
        "rollout": "fw 1",
        "verdict": "fail",
        "score": 0.0,
        "e_value": pytest.approx(31.62, rel=1e-3),
        "log10_e": 1.5,
        "alpha": 0.05,
        "n_canary": 30,
        "n_control": 30,
        "reason": "because",
        "evidence_url": "https://gate.example/#rollout=fw%201",
        "at": NOW,
    }


def test_before_the_first_verdict_the_answer_is_inconclusive_and_complete() -> None:
    rollout = Rollout("fw")
    rollout.plan = plan("fw", alpha=0.01)
    answer = msgspec.to_builtins(gate_data(rollout, ""))
    assert (answer["verdict"], answer["score"], answer["alpha"]) == ("inconclusive", 50.0, 0.01)
    assert "no verdict yet" in answer["reason"]
    assert None not in answer.values()
    rollout.plan = plan("fw", state=PlanState.ENDED)
    assert "ended before" in gate_data(rollout, "").reason


def test_numbers_that_json_cannot_hold_never_become_null() -> None:
    rollout = Rollout("fw")
    rollout.judged(verdict("fw", e_value=math.inf, log10_e=-math.inf, score=math.nan))
    answer = gate_data(rollout, "")
    assert (answer.e_value, answer.log10_e, answer.score) == (1e300, -1e300, 0.0)
    assert b"null" not in msgspec.json.encode(answer)


def test_an_older_verdict_never_replaces_a_newer_one() -> None:
    rollout = judged("fw", Outcome.FAIL)
    assert not rollout.judged(verdict("fw", Outcome.PASS, at=NOW - 1))
    assert gate_data(rollout, "").verdict is Outcome.FAIL


ROLLOUTS = {name: judged(name, outcome) for name, outcome in
            {"fw-1": Outcome.PASS, "fw-2": Outcome.FAIL, "app": Outcome.INCONCLUSIVE}.items()}  # fmt: skip


def asked(query: str) -> dict[str, float]:
    selector = parse_query(query)
    assert isinstance(selector, Selector)
    found = select(selector, ROLLOUTS)
    return {",".join(v for k, v in labels.items() if k != "__name__"): value for labels, value in found}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tidegate_gate_pass", {"fw-1": 1.0, "fw-2": 0.0, "app": 0.0}),
        ('tidegate_gate_pass{rollout="fw-1"}', {"fw-1": 1.0}),
        ("tidegate_gate_fail{rollout='fw-2',}", {"fw-2": 1.0}),
        ("tidegate_gate_fail{}", {"fw-1": 0.0, "fw-2": 1.0, "app": 0.0}),
        ('tidegate_gate_verdict{rollout=~"fw-.*", verdict="pass"}', {"fw-1,pass": 1.0, "fw-2,pass": 0.0}),
        ('{__name__="tidegate_gate_fail", rollout!~"fw-[12]"}', {"app": 0.0}),
        ('tidegate_gate_verdict{rollout="fw-2",verdict!="pass"}', {"fw-2,fail": 1.0, "fw-2,inconclusive": 0.0}),
        ('tidegate_gate_log10_e{rollout="nobody"}', {}),
        ("up", {}),
        ('tidegate_gate_pass{rollout=~"fw"}', {}),  # anchored at both ends
        ('tidegate_gate_pass{missing=""}', {"fw-1": 1.0, "fw-2": 0.0, "app": 0.0}),
        ("tidegate_gate_pass{rollout=`fw-1`}", {"fw-1": 1.0}),
        ('tidegate_gate_pass{rollout="\\u0066w\\x2d1"}', {"fw-1": 1.0}),
    ],
)  # fmt: skip
def test_selectors(query: str, expected: dict[str, float]) -> None:
    assert asked(query) == expected


def test_all_gauges_of_one_rollout() -> None:
    found = select(parse_query('{rollout="fw-2",__name__=~"tidegate_gate_.+"}'), ROLLOUTS)  # type: ignore[arg-type]
    assert {labels["__name__"] for labels, _ in found} == set(GAUGES)


@pytest.mark.parametrize(("query", "value"), [("vector(1)", 1.0), (" vector ( 1 ) ", 1.0), ("vector(-2.5e3)", -2500.0)])
def test_flagger_probes_with_vector(query: str, value: float) -> None:
    assert parse_query(query) == Constant(value)


@pytest.mark.parametrize(
    "query",
    ["", "{}", '{rollout=~".*"}', "1+1", "vector(x)", "vector(1)+1", "sum(tidegate_gate_pass)", "tidegate_gate_pass[5m]",
     "tidegate_gate_pass offset 5m", 'x{a="1" b="2"}', 'x{a="1"', "x{a=1}", 'x{="1"}', 'x{a=~"("}', 'x{a=~"(?i)x"}',
     'x{a="\\q"}', 'x{a="\\U00110000"}', "x{a='1}", 'x{a=="1"}', "x" * 3000, 'x{a=~"' + "a" * 300 + '"}'],
)  # fmt: skip
def test_anything_else_is_bad_data(query: str) -> None:
    with pytest.raises(BadQueryError):
        parse_query(query)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.5, "0.5"), (-3.0, "-3"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)  # fmt: skip
def test_values_are_written_as_prometheus_writes_them(value: float, text: str) -> None:
    assert format_value(value) == text
