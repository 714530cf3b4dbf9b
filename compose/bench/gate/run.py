"""Runs the rows over all cores and says how each fared; a run's seed is its row's name and its number."""

from __future__ import annotations

import multiprocessing
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.rollouts.gate import new_gate
from analytics.rollouts.recording import JudgePlan, judge, judge_columns, read_rows
from compose.bench.gate.judges import JUDGES, Called
from compose.bench.gate.recorded import json_lines
from compose.bench.gate.scenarios import ALPHA, GUARDS, SCENARIOS
from compose.bench.gate.world import HOUR_MS, evidence, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EVERY_MS = 300_000
Z_99 = 2.326
_PORTION = 25


class Plan(NamedTuple):
    """How many runs a row, how many of them the compared judges see, how many also go through `rollout judge`; the first seed."""

    runs: int = 2000
    judged: int = 200
    recorded: int = 50
    seed: int = 1


class Run(NamedTuple):
    """One run: hours until fail and pass (NaN: never), what the compared judges called, whether the recording agreed."""

    fail: float
    passed: float
    called: dict[str, Called]
    agrees: bool


def simulate(name: str, number: int, plan: Plan) -> Run:
    """One run of a row."""
    world = SCENARIOS[name].world
    chance = np.random.default_rng([plan.seed, zlib.crc32(name.encode()), number])
    story = tell(world, chance)
    rows = evidence(world, story, chance)
    found = judge_columns(new_gate(GUARDS, ALPHA), rows, every_ms=EVERY_MS)
    agrees = True
    if number < plan.recorded:
        recorded = read_rows(json_lines(rows, GUARDS))
        agrees = judge(JudgePlan(guards=GUARDS, alpha=ALPHA), recorded, every_ms=EVERY_MS) == found
    called = {judge_name: call(world, story) for judge_name, call in JUDGES.items()} if number < plan.judged else {}
    return Run(_hours(found.first_fail), _hours(found.first_pass), called, agrees)


def rows_of(names: Sequence[str], plan: Plan, workers: int) -> Iterator[tuple[str, list[Run]]]:
    """Each row's runs, as soon as they are there."""
    portions = [(name, start, plan) for name in names for start in range(0, plan.runs, _PORTION)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done: dict[str, list[Run]] = {name: [] for name in names}
        for name, runs in pool.imap(_portion, portions):
            done[name] += runs
            if len(done[name]) == plan.runs:
                yield name, done.pop(name)


def summary(rows: Iterable[tuple[str, list[Run]]]) -> dict[str, Any]:
    """The figures by kind of row, those of the compared judges, and what missed its bar."""
    found: dict[str, Any] = {"false_fail": {}, "power": {}, "passes": {}, "judges": {name: {} for name in JUDGES}}
    missed, agree = [], True
    for name, runs in rows:
        kind = SCENARIOS[name].kind
        hours = [run.passed if kind == "passes" else run.fail for run in runs]
        found[kind][name] = figures(kind, hours)
        for judge_name, by_name in found["judges"].items():
            calls = [run.called[judge_name][kind == "passes"] for run in runs if run.called]
            by_name.setdefault(kind, {})[name] = figures(kind, calls)
        missed += misses(name, found[kind][name])
        agree = agree and all(run.agrees for run in runs)
    return found | {"recorded_agree": agree, "missed": missed}


def figures(kind: str, hours: Sequence[float]) -> dict[str, float | int | None]:
    """Rate, its upper 99 % limit (Wilson's, one-sided) and the median of when."""
    times = np.array(hours)
    hit = times[~np.isnan(times)]
    rate = len(hit) / len(times)
    median = round(float(np.median(hit)), 2) if len(hit) else None
    base: dict[str, float | int | None] = {"rate": round(rate, 4), "runs": len(times)}
    if kind == "power":
        return base | {"median_hours": median}
    return base | {"upper99": round(upper_limit(rate, len(times)), 4), "median_hours": median}


def upper_limit(rate: float, runs: int) -> float:
    """Wilson's one-sided upper 99 % confidence limit of a rate."""
    spread: float = Z_99 * (rate * (1 - rate) / runs + Z_99**2 / (4 * runs**2)) ** 0.5
    limit: float = (rate + Z_99**2 / (2 * runs) + spread) / (1 + Z_99**2 / runs)
    return limit


def misses(name: str, found: dict[str, Any]) -> list[str]:
    """Which of a row's bars were missed, in words."""
    bar, rate, median = SCENARIOS[name], found["rate"], found["median_hours"]
    words = []
    if rate < bar.least:
        words.append(f"{name}: rate {rate} below {bar.least}")
    if rate > bar.most:
        words.append(f"{name}: rate {rate} above {bar.most}")
    if bar.hours < float("inf") and (median is None or median > bar.hours):
        words.append(f"{name}: median {median} h, bar {bar.hours} h")
    return words


def _portion(task: tuple[str, int, Plan]) -> tuple[str, list[Run]]:
    name, start, plan = task
    return name, [simulate(name, number, plan) for number in range(start, min(plan.runs, start + _PORTION))]


def _hours(at: int | None) -> float:
    return float("nan") if at is None else at / HOUR_MS
