"""Quantiles and counts out of live windows: what the gate makes of them is what `judge` makes of its recorded evidence."""

from __future__ import annotations

import random

import msgspec
import pytest

from analytics.rollouts.recording import judge, read_judge_plan, read_rows
from analytics.rollouts.soaking import SETTLE_MS
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Outcome, RolloutPlan
from ingest.contract.topics import EVIDENCE
from tests.gate_stage_world import SECOND, World
from tests.gate_world import Fleet, plan_of, plan_record
from tests.rollup_batches import Row

SILENCE = Guard(name="silence", kind=GuardKind.SILENCE, margin=5.0)
MEAN = Guard(name="mean", kind=GuardKind.SOAK, metric="latency", margin=1.25)
TAIL = Guard(name="tail", kind=GuardKind.SOAK, metric="latency", quantile=0.9, margin=1.25)
ERRORS = Guard(name="errors", kind=GuardKind.COUNT, margin=0.3)
GUARDS = [SILENCE, MEAN, TAIL, ERRORS]
WINDOW = 10 * SECOND


def plan(**changes: object) -> RolloutPlan:
    return plan_of(guards=GUARDS, soak_s=60.0, **changes)


def measured(world: World, start: int, tails: dict[str, float], errors: dict[str, int]) -> None:
    """One window of each device: ten latencies with its tail, and how often it logged an error."""
    rows = [
        Row(
            device=name,
            metric="latency",
            start=start,
            width=WINDOW,
            values=(10.0,) * 6 + (tail,) * 4,
            quantiles=True,
        )
        for name, tail in tails.items()
    ]
    rows += [
        Row(device=name, metric="errors", start=start, width=WINDOW, values=(5.0, 9.0), growth=(float(count), 0))
        for name, count in errors.items()
    ]
    world.take(world.fleet.measured("north", rows))


def evidence_of(world: World) -> list[Evidence]:
    return world.of(EVIDENCE, Evidence)


def soaked_world(slow: float, errors: int, seed: int) -> World:
    """A fleet whose canaries' slowest latencies are `slow` times as long, and that log `errors` more in each window."""
    chance, world = random.Random(seed), World(Fleet(per_site=60))
    world.start(plan())
    arms = {row.device: row.arm for row in evidence_of(world)}
    begin = evidence_of(world)[0].at + 20 * SECOND
    usual = {name: 20.0 * chance.lognormvariate(0.0, 0.2) for name in arms}
    for window in range(6):
        canary = {name for name, arm in arms.items() if arm is Arm.CANARY}
        tails = {name: level * (slow if name in canary else 1.0) for name, level in usual.items()}
        counted = {name: chance.randint(0, 1) + (errors if name in canary else 0) for name in arms}
        measured(world, begin + window * WINDOW, tails, counted)
        if window == 2:
            world.pass_time(1)
            world.restart()
    world.pass_time(20 + 60 + SETTLE_MS / SECOND)
    return world


@pytest.mark.parametrize(
    ("slow", "errors", "guilty"), [(1.0, 0, set()), (3.0, 0, {"mean", "tail"}), (1.0, 3, {"errors"})]
)
def test_live_soaks_lead_to_what_judge_says_of_their_evidence(slow: float, errors: int, guilty: set[str]) -> None:
    world = soaked_world(slow, errors, seed=1)
    verdict, rows = world.verdict(), evidence_of(world)
    soaked = [row for row in rows if row.kind is EvidenceKind.SOAKED]
    assert {row.metric for row in soaked} == {"latency", "latency:p90", "errors"}
    lines = b"\n".join(msgspec.json.encode(row) for row in rows)
    judged = judge(read_judge_plan(msgspec.json.encode(plan())), read_rows(lines))
    assert (judged.verdict, judged.log10_e, judged.guards) == (verdict.verdict, verdict.log10_e, verdict.guards)
    assert judged.guilty == verdict.guilty
    assert (verdict.guilty in guilty) == bool(guilty)
    assert (verdict.verdict is Outcome.FAIL) == bool(guilty)


def test_the_quantile_is_that_of_all_samples_of_the_soak_and_the_count_their_sum() -> None:
    world = soaked_world(1.0, 2, seed=2)
    rows = [row for row in evidence_of(world) if row.kind is EvidenceKind.SOAKED]
    by_metric = {
        metric: {r.device: r.value for r in rows if r.metric == metric}
        for metric in ("latency", "latency:p90", "errors")
    }
    for device, mean in by_metric["latency"].items():
        tail = (mean * 10 - 60) / 4
        assert by_metric["latency:p90"][device] == pytest.approx(tail, rel=0.0101)
    counts = {row.arm: by_metric["errors"][row.device] for row in rows}
    assert 0 <= counts[Arm.CONTROL] <= 6 < counts[Arm.CANARY] <= 18


def test_a_device_is_its_own_past_in_quantiles_too_and_counts_have_none() -> None:
    world = World(Fleet(per_site=12))
    names = world.fleet.names["north"]
    world.take(*world.fleet.everyone(world.now))
    world.take(plan_record(plan(baseline_s=60.0)))
    world.pass_time(5)
    levels = {name: 20.0 * (n + 1) for n, name in enumerate(names)}
    measured(world, world.now, levels, dict.fromkeys(names, 4))
    world.pass_time(70)
    begin = evidence_of(world)[0].at + 20 * SECOND
    measured(world, begin, {name: 3 * level for name, level in levels.items()}, dict.fromkeys(names, 4))
    world.pass_time(10)
    world.restart()
    world.pass_time(20 + 60 + SETTLE_MS / SECOND + 1)
    rows = {(row.device, row.metric): row for row in evidence_of(world) if row.kind is EvidenceKind.SOAKED}
    for name, level in levels.items():
        tail = rows[name, "latency:p90"]
        assert (tail.before, tail.value) == (pytest.approx(level, rel=0.0101), pytest.approx(3 * level, rel=0.0101))
        assert (rows[name, "errors"].before, rows[name, "errors"].value) == (None, 4.0)


def test_windows_that_tell_no_sketch_and_no_growth_are_no_evidence_of_quantiles_and_counts() -> None:
    world = World(Fleet(per_site=12))
    world.start(plan())
    begin = evidence_of(world)[0].at + 20 * SECOND
    rows = [
        Row(device=name, metric=metric, start=begin, width=WINDOW, values=(1.0, 2.0))
        for name in world.fleet.names["north"]
        for metric in ("latency", "errors")
    ]
    world.take(world.fleet.measured("north", rows))
    world.pass_time(20 + 60 + SETTLE_MS / SECOND)
    assert {row.metric for row in evidence_of(world) if row.kind is EvidenceKind.SOAKED} == {"latency"}
