"""`rollout judge`: recorded evidence through the gate; the same whatever the lines' order, clear words for what is wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from analytics.rollouts.gate import new_gate
from analytics.rollouts.recording import BadRecordingError, JudgePlan, judge, judge_columns, read_judge_plan, read_rows
from compose.bench.gate import queries, speed
from compose.bench.gate.judges import JUDGES
from compose.bench.gate.recorded import json_lines
from compose.bench.gate.run import EVERY_MS, Plan, simulate, summary, upper_limit
from compose.bench.gate.scenarios import ALPHA, GUARDS, SCENARIOS
from compose.bench.gate.world import HOUR_MS, World, evidence, tell
from compose.cli.main import tidegate

PLAN = {"guards": [{"name": "crash", "kind": "crash"}, {"name": "silence", "kind": "silence"}], "alpha": 0.05}


def recorded(world: World, seed: int = 3) -> bytes:
    chance = np.random.default_rng(seed)
    return json_lines(evidence(world, tell(world, chance), chance), GUARDS)


def lines(crashes: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"kind": "enrolled", "device": f"d{n}", "at": 0, "stratum": "a", "arm": ("canary", "control")[n % 2]}
        for n in range(60)
    ]
    return rows + [{"kind": "crashed", "device": f"d{2 * n}", "at": 60_000 * (n + 1)} for n in range(crashes)]


def run(tmp_path: Path, plan: object, rows: str, *options: str) -> tuple[int, str, str]:
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "run.jsonl").write_text(rows)
    arguments = ["rollout", "judge", str(tmp_path / "plan.json"), str(tmp_path / "run.jsonl"), *options]
    found = CliRunner().invoke(tidegate, arguments)
    return found.exit_code, found.output, found.stderr


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def test_one_line_a_file_with_when_it_failed_and_the_final_e_values(tmp_path: Path) -> None:
    code, output, _ = run(tmp_path, PLAN, jsonl(lines(20)), "--json")
    found = json.loads(output)
    assert code == 0
    assert (found["verdict"], found["guilty"], found["first_pass"]) == ("fail", "crash", None)
    assert found["first_fail"] == 8 * 60_000
    assert found["e_value"] == pytest.approx(10 ** found["log10_e"], rel=1e-6)
    assert [guard["name"] for guard in found["guards"]] == ["crash", "silence"]
    assert (found["n_canary"], found["n_control"], found["rows"], found["taken"]) == (30, 30, 80, 68)


def test_looks_see_it_at_the_first_look_after(tmp_path: Path) -> None:
    _, output, _ = run(tmp_path, PLAN, jsonl(lines(20)), "--json", "--every", "5m")
    assert json.loads(output)["first_fail"] == 10 * 60_000


@pytest.mark.parametrize("name", ["crash_x2", "latency_5_past", "identical"])
def test_a_shuffled_recording_leads_to_the_same_as_the_step_over_ordered_columns(name: str) -> None:
    world = SCENARIOS[name].world._replace(canaries=100, controls=100)
    chance = np.random.default_rng(3)
    ordered = judge_columns(new_gate(GUARDS, ALPHA), evidence(world, tell(world, chance), chance), every_ms=EVERY_MS)
    rows = recorded(world).splitlines()
    random.Random(5).shuffle(rows)
    # Enrolments of one instant are numbered in the order of the file; nothing that is answered depends on it but by chance.
    enrolments = [row for row in recorded(world).splitlines() if b"enrolled" in row]
    others = [row for row in rows if b"enrolled" not in row]
    plan = JudgePlan(guards=GUARDS, alpha=ALPHA)
    assert judge(plan, read_rows(b"\n".join(others + enrolments)), every_ms=EVERY_MS) == ordered


@pytest.mark.parametrize(
    ("plan", "rows", "options", "words"),
    [
        (PLAN, "{}\n", [], "run.jsonl: line 1: Object missing required field `kind`"),
        (PLAN, jsonl(lines(0)) + '{"kind": "exploded", "device": "d", "at": 1}\n', [], "line 61: Invalid enum value"),
        (PLAN | {"gards": []}, "", [], "plan.json: unknown field `gards`"),
        ({"guards": []}, "", [], "plan.json: expected guards"),
        (PLAN | {"alpha": 0.7}, "", [], "alpha in (0, 0.5]"),
        (PLAN, "", ["--every", "soon"], "--every: found 'soon'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, plan: object, rows: str, options: list[str], words: str
) -> None:
    code, _, error = run(tmp_path, plan, rows, *options)
    assert code == 2
    assert words in error


def test_a_recording_without_rows_is_inconclusive(tmp_path: Path) -> None:
    code, output, _ = run(tmp_path, PLAN, "")
    assert code == 0
    assert "inconclusive" in output


def test_a_whole_rollouts_plan_is_a_plan_for_the_judge_and_margins_are_checked_by_kind() -> None:
    plan = read_judge_plan(json.dumps(PLAN | {"rollout": "fw", "tenant": "acme", "seed": 4}).encode())
    assert [guard.margin for guard in plan.guards] == [1.5, 1.5]
    share = {"guards": [{"name": "errors", "kind": "share"}]}
    with pytest.raises(BadRecordingError):
        read_judge_plan(json.dumps(share).encode())


def test_the_bench_simulates_judges_and_sums_up() -> None:
    plan = Plan(runs=6, judged=2, recorded=2)
    rows = [(name, [simulate(name, number, plan) for number in range(plan.runs)]) for name in ("brick_5", "harmless")]
    found = summary(rows)
    assert found["recorded_agree"] is True
    assert found["power"]["brick_5"]["rate"] == 1.0
    assert 0 < found["power"]["brick_5"]["median_hours"] < 4
    assert found["passes"]["harmless"]["runs"] == 6
    assert set(found["judges"]) == set(JUDGES)
    assert upper_limit(0.05, 2000) == pytest.approx(0.0626, abs=1e-4)


def test_a_simulated_fleet_is_what_it_is_said_to_be() -> None:
    world = World(canaries=4000, controls=4000, bricked=0.05, latency=1.25)
    story = tell(world, np.random.default_rng(1))
    canary, quiet = story.canary, ~story.canary
    assert story.enrolled.max() == pytest.approx(5.75)
    assert (story.silent[canary] < 7.25).mean() == pytest.approx(0.05, abs=0.015)
    assert np.median(story.latency[canary]) / np.median(story.latency[quiet]) == pytest.approx(1.25, abs=0.06)
    exposed = story.crashed[quiet] - story.enrolled[quiet] < 24
    assert exposed.mean() == pytest.approx(0.145, abs=0.025)
    rows = evidence(world, story, np.random.default_rng(1))
    assert (np.diff(rows.at) >= 0).all()
    assert rows.at[-1] <= 72 * HOUR_MS + 1


def test_the_judges_speed_is_that_of_whole_recordings() -> None:
    load = speed.JudgeLoad(recordings=2, world=World(canaries=20, controls=20), runs=1)
    assert speed.measure(load) > 0


async def test_queries_are_timed_against_the_real_parts(tmp_path: Path) -> None:
    asked = await queries.measure(queries.QueryLoad(rollouts=5, rate=50, seconds=0.2, runs=1), tmp_path)
    assert asked.p99_ms > 0
    assert asked.cpu_ms >= 0
