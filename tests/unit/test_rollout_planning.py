"""Before the start: plans are checked and compared, power is told; afterwards the verdict is explained, with plots."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from analytics.rollouts.explain import explain
from analytics.rollouts.gate import new_gate
from analytics.rollouts.policy import policy_hash
from analytics.rollouts.recording import JudgePlan
from compose.bench.gate.world import World
from compose.cli.explain import plotted
from compose.cli.main import tidegate
from compose.planning.plots import Curve, Frame, svg_plot, text_plot
from compose.planning.power import HARMS, Question, forecast, harm_named
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind
from tests.api_centre import plan, plan_body

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
    assert set(by_harm) == {"none"} | {harm.name for harm in HARMS if harm.kind is not GuardKind.SOAK}
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
    assert "stage 3: 20 canaries, 20 controls" in output
    assert ET.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
    assert run("power", path, "--find", "rust")[0] == 2


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


def test_a_plot_holds_whatever_it_is_given() -> None:
    frame = Frame("<t> & u", "x", "y")
    for curves in ([], [Curve("one", [(1.0, 2.0)])], [Curve("<b>", [(0.0, -1.0), (2.0, 5.0)])]):
        assert len(text_plot(curves, frame).splitlines()) == 19 + len(curves)
        ET.fromstring(svg_plot(curves, frame))  # noqa: S314 - our own text
