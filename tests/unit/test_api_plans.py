"""A plan's mistakes, each with its path, before anything is written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dashboards.api.plans import BadPlanError, read_plan, same_content, to_plan
from dashboards.api.routes.rollout_routes import AGREEMENT_MS, intervened
from ingest.contract.events import Intervention, PlanState, RollbackMode, RolloutPlan, Verb
from tests.api_records import NOW
from tests.api_rollouts import plan, plan_body


def mistakes(**fields: Any) -> dict[str, str]:
    with pytest.raises(BadPlanError) as error:
        read_plan(msgspec.json.encode(plan_body(**fields)), "acme")
    assert not error.value.malformed
    return {mistake.path: mistake.message for mistake in error.value.mistakes}


def test_a_good_plan_becomes_the_record_that_it_describes() -> None:
    asked = read_plan(msgspec.json.encode(plan_body()), "acme")
    assert to_plan(asked, tenant="acme", created=NOW, created_by="ci") == plan(created_by="ci")


def test_the_form_is_checked_with_paths_and_suggestions() -> None:
    assert "did you mean `alpha`" in mistakes(alhpa=0.1)["$"]
    assert "did you mean `margin`" in mistakes(guards=[{"name": "c", "kind": "crash", "margni": 2}])["$.guards[0]"]
    assert "str" in mistakes(alpha="5%")["$.alpha"]
    assert "$.mode" in mistakes(mode="yolo")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"rollout": "no/slash"}, "$.rollout"),
        ({"rollout": ""}, "$.rollout"),
        ({"release": ""}, "$.release"),
        ({"release": "2.2.0"}, "$.release"),
        ({"previous_release": "a\nb"}, "$.previous_release"),
        ({"release_digest": "sha256:xyz"}, "$.release_digest"),
        ({"previous_digest": "md5:ab"}, "$.previous_digest"),
        ({"alpha": 0}, "$.alpha"),
        ({"alpha": 0.6}, "$.alpha"),
        ({"canary_share": 1}, "$.canary_share"),
        ({"install_grace_s": -1}, "$.install_grace_s"),
        ({"outage_s": -1}, "$.outage_s"),
        ({"command_expiry_s": 0}, "$.command_expiry_s"),
        ({"command_expiry_s": 1e9}, "$.command_expiry_s"),
        ({"guards": []}, "$.guards"),
        ({"guards": [{"name": "a", "kind": "crash"}, {"name": "a", "kind": "silence"}]}, "$.guards[1].name"),
        ({"guards": [{"name": "a", "kind": "crash", "weight": 0}]}, "$.guards[0].weight"),
        ({"guards": [{"name": "a", "kind": "crash", "margin": 1}]}, "$.guards[0].margin"),
        ({"guards": [{"name": "a", "kind": "soak", "quantile": 1}]}, "$.guards[0].quantile"),
        ({"guards": [{"name": "a", "kind": "share", "margin": 0.1, "quantile": 0.5}]}, "$.guards[0].quantile"),
        (
            {
                "guards": [
                    {"name": "a", "kind": "share", "metric": "door", "margin": 0.1},
                    {"name": "b", "kind": "count", "metric": "door", "margin": 0.1},
                ]
            },
            "$.guards[1].quantile",
        ),
        ({"selection": {"sites": ["north", ""]}}, "$.selection.sites[1]"),
        ({"selection": {"groups": ["x"] * 1001}}, "$.selection.groups"),
        ({"selection": {"tags": ["eu", "a\nb"]}}, "$.selection.tags[1]"),
        ({"selection": {"percent": 0}}, "$.selection.percent"),
        ({"installs": "external", "mode": "automatic"}, "$.actuators"),
        (
            {"installs": "external", "guards": [{"name": "u", "kind": "update", "margin": 0.1}]},
            "$.guards[0].kind",
        ),
        ({"stages": [{"share": 0.5}, {"share": 0.2}]}, "$.stages[1].share"),
        ({"stages": [{"share": 1.5}]}, "$.stages[0].share"),
        ({"stages": [{"share": 0.5, "soak_s": -1}]}, "$.stages[0].soak_s"),
        ({"hold_out": 1}, "$.hold_out"),
        ({"budget": {"devices": -1}}, "$.budget.devices"),
        ({"budget": {"share": 2}}, "$.budget.share"),
        ({"tenant": "other"}, "$.tenant"),
        ({"state": "ended"}, "$.state"),
    ],
)
def test_the_content_is_checked(fields: dict[str, Any], path: str) -> None:
    assert path in mistakes(**fields)


def test_all_mistakes_of_the_content_are_named_at_once() -> None:
    assert set(mistakes(alpha=2, canary_share=0, release_digest="x")) == {
        "$.alpha",
        "$.canary_share",
        "$.release_digest",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"rollout": tru'])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(BadPlanError) as error:
        read_plan(body, "acme")
    assert error.value.malformed


def test_equal_content_is_recognised_whoever_wrote_it_whenever() -> None:
    assert same_content(plan(state=PlanState.ENDED), plan(created=NOW + 9, created_by="other"))
    assert not same_content(plan(), plan(alpha=0.01))


def test_in_mode_automatic_a_pause_and_its_end_take_two_people_each_time() -> None:
    def said(plan: RolloutPlan, verb: Verb, by: str, at: int = NOW) -> RolloutPlan:
        return intervened(plan, Intervention(verb=verb, by=by, at=at, reason="why"))

    one = said(plan(mode=RollbackMode.AUTOMATIC), Verb.PAUSE, "ann")
    assert one.state is PlanState.RUNNING
    assert said(one, Verb.PAUSE, "ann").state is PlanState.RUNNING
    assert said(one, Verb.PAUSE, "bob", NOW + 2 * AGREEMENT_MS).state is PlanState.RUNNING
    paused = said(one, Verb.PAUSE, "bob", NOW + 1)
    assert (paused.state, paused.reason) == (PlanState.PAUSED, "bob: why")
    running = said(said(paused, Verb.RESUME, "bob", NOW + 2), Verb.RESUME, "ann", NOW + 3)
    assert running.state is PlanState.RUNNING
    assert said(running, Verb.PAUSE, "ann", NOW + 4).state is PlanState.RUNNING
    assert said(plan(), Verb.PAUSE, "ann").state is PlanState.PAUSED
    many = plan()
    for number in range(30):
        many = said(many, Verb.ABORT, f"p{number}")
    assert len(many.interventions) == 20
