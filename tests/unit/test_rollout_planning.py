"""Before the start: plans are checked and compared, power is told; afterwards the verdict is explained, with plots."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from analytics.rollouts.explain import explain
from analytics.rollouts.gate import new_gate
from analytics.rollouts.late import in_their_places
from analytics.rollouts.policy import policy_hash
from analytics.rollouts.recording import JudgePlan
from compose.bench.gate.world import World
from compose.cli.explain import plotted
from compose.cli.main import tidegate
from compose.planning.harms import HARMS, harm_named
from compose.planning.plots import Curve, Frame, svg_plot, text_plot
from compose.planning.power import Question, forecast
from compose.planning.staged import Staging, enrolments
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind
from tests.api_rollouts import plan, plan_body

GUARDS = [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE, margin=5.0)]


def run(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(tidegate, ["rollout", *map(str, arguments)])
    return found.exit_code, found.output


def written(folder: Path, name: str, **fields: Any) -> Path:
    body = plan_body(**fields)
    path = folder / name
    path.write_text(json.dumps(body) if name.endswith("json") else msgspec.yaml.encode(body).decode())
    return path


def test_a_right_plan_has_the_policy_hash_that_its_verdicts_will_carry(tmp_path: Path) -> None:
    code, output = run("plan", written(tmp_path, "plan.json", tenant="acme"), "--json")
    assert code == 0
    assert json.loads(output) == {"policy_hash": policy_hash(plan()), "changes": []}
    assert run("plan", written(tmp_path, "plan.yaml", tenant="acme"), "--json") == (code, output)


def test_every_mistake_has_its_path(tmp_path: Path) -> None:
    guards = [{"name": "crash", "kind": "crash", "margin": 0.5}, {"name": "errors", "kind": "share", "margin": 2.0}]
    code, output = run("plan", written(tmp_path, "plan.json", alpha=2.0, guards=guards))
    assert code == 2
    assert "$.alpha: found 2.0" in output
    assert "$.guards[0].margin: found 0.5, expected above 1 for the kind 'crash'" in output
    assert "$.guards[1].margin: found 2.0, expected above 0 and below 1 for the kind 'share'" in output
    assert "did you mean" in run("plan", written(tmp_path, "plan.json", canary_shar=0.5))[1]


def test_a_difference_says_what_a_running_rollout_may_not_change(tmp_path: Path) -> None:
    old = written(tmp_path, "old.json")
    assert run("plan", old, "--diff", old)[0] == 0
    code, output = run("plan", written(tmp_path, "new.json", mode="automatic"), "--diff", old)
    assert (code, output.splitlines()[1]) == (0, '$.mode: "observe" -> "automatic"')
    looser = [{"name": "crash", "kind": "crash", "margin": 3.0}, {"name": "silence", "kind": "silence"}]
    code, output = run("plan", written(tmp_path, "new.json", guards=looser), "--diff", old)
    assert (code, output.splitlines()[1]) == (1, "$.guards.crash.margin: 1.5 -> 3.0  (not while it runs)")


def test_power_rises_with_time_harm_and_size_and_is_the_same_again() -> None:
    world = World(canaries=60, controls=60, hours=24.0, crash_rate=0.02, enrolment=2.0)
    asked = Question(JudgePlan(guards=GUARDS), world, 24, harm_named("crash rate x5", GUARDS), 0.8, 200)
    found = forecast(asked)
    assert found == forecast(asked)
    by_harm = {row.harm: row for row in found.rows}
    assert set(by_harm) == {"none"} | {harm.name for harm in HARMS if harm.kind in (GuardKind.CRASH, GuardKind.SILENCE)}
    assert all(row.found_by == sorted(row.found_by) for row in found.rows)
    assert by_harm["none"].found_by[-1] <= 0.2
    assert by_harm["crash rate x5"].found_by[-1] >= by_harm["crash rate x1.5"].found_by[-1]
    assert by_harm["crash rate x5"].found_by[-1] > 0.8
    assert found.least_canaries in (25, 50, 100)
    assert [stage.canaries for stage in found.stages] == [4, 20, 100]
    assert found.stages[-1].soak_hours is not None
    with pytest.raises(ValueError, match="'crash rate x2'"):
        harm_named("soaked value +5 %", GUARDS)


def test_power_is_a_table_a_plot_and_a_picture(tmp_path: Path) -> None:
    path = written(tmp_path, "plan.json")
    options = ["--devices", "40", "--runs", "10", "--hours", "12", "--enrolment", "1", "--svg", str(tmp_path / "p.svg")]
    code, output = run("power", path, *options)
    assert code == 0
    assert "20 canaries, 20 controls, 10 simulated rollouts a row" in output
    assert "a stage of 20 canaries, 20 controls" in output
    assert ET.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
    assert run("power", path, "--find", "rust")[0] == 2


def test_power_knows_alarms_updates_and_says_what_it_does_not_simulate() -> None:
    guards = [
        Guard(name="alarm", kind=GuardKind.ALARM),
        Guard(name="update", kind=GuardKind.UPDATE, margin=0.1),
        Guard(name="errors", kind=GuardKind.SHARE, margin=0.1),
    ]
    world = World(canaries=100, controls=100, hours=24.0, enrolment=2.0, alarm_rate=0.01, update_failed=0.02)
    asked = Question(JudgePlan(guards=guards), world, 20, harm_named("alarm rate x5", guards), 0.8, 200)
    found = forecast(asked)
    by_harm = {row.harm: row for row in found.rows}
    assert by_harm["none"].found_by[-1] <= 0.2
    assert by_harm["alarm rate x5"].found_by[-1] >= 0.9
    assert by_harm["50 % of updates fail"].found_by[-1] == 1.0
    assert by_harm["5 % of updates fail"].found_by[-1] <= 0.2, "the guard tolerates a tenth"
    assert found.not_simulated == ["errors"]


def test_a_rollout_that_ends_before_all_are_drawn_is_refused(tmp_path: Path) -> None:
    code, output = run("power", written(tmp_path, "plan.json"), "--hours", "1", "--runs", "10")
    assert (code, "only after 6 hours (--enrolment)" in output) == (2, True)


def test_a_plan_in_stages_is_simulated_in_stages(tmp_path: Path) -> None:
    stages = [{"share": 0.1, "soak_s": 21600}, {"share": 0.5, "soak_s": 21600}, {"share": 1.0}]
    path = written(tmp_path, "plan.json", stages=stages, budget={"devices": 3})
    fleet = ["--devices", "200", "--runs", "20", "--crash-rate", "0.02", "--enrolment", "2", "--hours", "24"]
    code, output = run("power", path, *fleet, "--find", "crash rate x5", "--json")
    assert code == 0
    found = json.loads(output)
    told = found["plan_stages"]
    assert [(stage["canaries"], stage["begins_hours"]) for stage in told] == [(20, 0.0), (100, 6.0), (190, 12.0)]
    assert told[0]["found_before"] == 0.0
    assert told[0]["found_before"] <= told[1]["found_before"] <= told[2]["found_before"]
    assert told[2]["found_before"] > 0.8, "a hundred canaries show it"
    assert {row["harm"]: row["found_by"][-1] for row in found["rows"]}["none"] <= 0.2
    assert found["not_simulated"] == ["the blast-radius budget"]
    shorter = ["--devices", "200", "--runs", "10", "--enrolment", "1", "--hours", "7"]
    text = run("power", path, *shorter)[1]
    assert "the plan's stage 2: 100 canaries from 6 h on, found before that with probability" in text
    bad = written(tmp_path, "bad.json", stages=[{"share": 0.5}, {"share": 0.2}])
    assert run("power", bad)[0] == 2


@pytest.mark.parametrize("devices", [40, 397])
def test_simulated_stages_are_drawn_as_the_gate_draws_them(devices: int) -> None:
    world = World(canaries=devices // 2, controls=devices - devices // 2, enrolment=1.0)
    staging = Staging((0.1, 0.4, 1.0), (6.0, 12.0, 1.0), 0.05)
    drawn = enrolments(world, staging, np.random.default_rng(5))
    assert (drawn.at < drawn.until).all()
    for device in range(devices):
        mine = np.flatnonzero(drawn.device == device)
        assert (drawn.at[mine][1:] > drawn.until[mine][:-1]).all(), "one wave at a time"
        assert np.isinf(drawn.until[mine][-1])
        assert not drawn.canary[mine][:-1].any(), "who has the release stays where it is"
    for begins, share in zip(staging.begins, (0.1, 0.4, 0.95), strict=True):
        now = drawn.canary & (drawn.at < begins + 1.0)
        assert abs(now.sum() - share * devices) <= 8, "eight strata, each rounded up or down"
    waves = drawn.stratum // 8
    for stratum in np.unique(drawn.stratum[waves > 0]).tolist():
        arms = drawn.canary[drawn.stratum == stratum]
        assert arms.any(), "controls are drawn for canaries only"
    assert (waves[drawn.canary] == 2).any()


def evidence(crashes: int) -> list[Evidence]:
    def row(n: int, kind: EvidenceKind, at: int) -> Evidence:
        arm = Arm.CANARY if n % 2 else Arm.CONTROL
        return Evidence(rollout="r", tenant="t", device=f"d{n}", site="s", stratum="s", arm=arm, kind=kind, at=at)

    rows = [row(n, EvidenceKind.ENROLLED, 1) for n in range(60)]
    return rows + [row(2 * n + 1, EvidenceKind.CRASHED, 1 + 360_000 * (n + 1)) for n in range(crashes)]


def test_a_verdict_is_explained_by_what_each_guard_has_and_needs() -> None:
    found = explain(GUARDS, 0.05, evidence(20))
    assert (
        found.sentences[0]
        == "30 canaries and 30 controls in 1 strata (waves counted apart), 68 rows of evidence over 0.8 hours."
    )
    assert found.sentences[2].startswith(
        "crash (crash): 8 canaries' and 0 controls' first events; against harmlessness 10^1.8"
    )
    assert found.sentences[-1].startswith("fail, 0.8 hours after the first draw: crash has reached")
    gate = new_gate(GUARDS, 0.05)
    gate.apply(evidence(20))
    assert found.traces[0].harm[-1] == gate.e_value_log10() >= found.limit
    open_ = explain(GUARDS, 0.05, evidence(2))
    assert open_.sentences[-1].endswith("not yet shown to be within their margins: crash, silence.")
    assert explain(GUARDS, 0.05, []).sentences == ["Nothing has been recorded yet."]
    assert "1/alpha" in plotted(found, "r", as_svg=False)
    ET.fromstring(plotted(found, "r", as_svg=True))  # noqa: S314 - our own text


def test_late_facts_are_judged_beside_the_verdict_and_never_in_it() -> None:
    in_time = evidence(20)
    late = [
        msgspec.structs.replace(row, kind=EvidenceKind.LATE, detail="crashed")
        if row.kind is EvidenceKind.CRASHED and n % 4 == 0
        else row
        for n, row in enumerate(in_time)
    ]
    late = [row for row in late if row.at <= 1 + 360_000 * 8]
    told = explain(GUARDS, 0.05, late).sentences
    assert "2 facts came too late: they are listed and counted for nothing." in told
    (beside,) = [sentence for sentence in told if sentence.startswith("Judged beside it")]
    assert beside.startswith("Judged beside it with these in their places: fail, the greatest weighted e-value 10^1.")
    assert "(instead of inconclusive, 10^" in beside
    assert told[-1].startswith("inconclusive"), "the verdict itself stays what it is"
    back = in_their_places(late)
    assert [(row.kind, row.at) for row in back] == [(row.kind, row.at) for row in in_time if row.at <= 1 + 360_000 * 8]


def test_a_plot_holds_whatever_it_is_given() -> None:
    frame = Frame("<t> & u", "x", "y")
    for curves in ([], [Curve("one", [(1.0, 2.0)])], [Curve("<b>", [(0.0, -1.0), (2.0, 5.0)])]):
        assert len(text_plot(curves, frame).splitlines()) == 19 + len(curves)
        ET.fromstring(svg_plot(curves, frame))  # noqa: S314 - our own text
