"""What a plan will find on a fleet, by when and how surely: told by simulation before the start, through the gate's own step."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.gate import new_gate
from analytics.rollouts.recording import JudgePlan, judge_columns
from compose.bench.gate.world import HOUR_MS, World, evidence, tell
from ingest.contract.events import Guard, GuardKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOURS = (1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0)
"""When the table tells how much has been found."""
COHORTS = (25, 50, 100, 200, 500, 1000, 2000)
"""Canaries that are tried for a proposal."""
STAGES = (0.02, 0.1, 0.5)
"""Shares of the fleet for a proposal's stages; the last keeps the other half as control."""
EVERY_MS = 300_000


class Harm(NamedTuple):
    """One way in which a release may be bad, and how to simulate it."""

    name: str
    kind: GuardKind
    change: dict[str, Any]


HARMS = (
    Harm("crash rate x1.5", GuardKind.CRASH, {"crash_ratio": 1.5}),
    Harm("crash rate x2", GuardKind.CRASH, {"crash_ratio": 2.0}),
    Harm("crash rate x5", GuardKind.CRASH, {"crash_ratio": 5.0}),
    Harm("1 % bricked", GuardKind.SILENCE, {"bricked": 0.01}),
    Harm("2 % bricked", GuardKind.SILENCE, {"bricked": 0.02}),
    Harm("5 % bricked", GuardKind.SILENCE, {"bricked": 0.05}),
    Harm("soaked value +5 %", GuardKind.SOAK, {"latency": 1.05}),
    Harm("soaked value +10 %", GuardKind.SOAK, {"latency": 1.1}),
    Harm("soaked value +25 %", GuardKind.SOAK, {"latency": 1.25}),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How one harm fares: `found_by` are the probabilities at `hours`; `median_hours` is of those that were found.

    The harmless release's `harm` is `none`: its `found_by` are false alarms, `passed_by` is when it passes.
    """

    harm: str
    hours: list[float]
    found_by: list[float]
    passed_by: list[float]
    median_hours: float | None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed stage: so many canaries, and hours from its first draw until the wanted harm is found as surely as asked.

    `soak_hours` is None when it is not within the time simulated.
    """

    canaries: int
    controls: int
    soak_hours: float | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `rollout power`."""

    runs: int
    canaries: int
    controls: int
    rows: list[Found]
    wanted: str
    probability: float
    least_canaries: int | None
    stages: list[Stage]
    not_simulated: list[str]


class Question(NamedTuple):
    """What is asked: this plan on this world, `runs` simulated rollouts each.

    And how many devices, of a fleet of `fleet`, it takes to find the harm `wanted` with this probability.
    """

    plan: JudgePlan
    world: World
    runs: int
    wanted: Harm
    probability: float
    fleet: int


def forecast(asked: Question) -> Forecast:
    """Simulate every harm that the plan has a guard for; propose cohorts for the wanted one."""
    plan, world, runs = asked.plan, asked.world, asked.runs
    kinds = {guard.kind for guard in plan.guards}
    rows = [_found(plan, world, Harm("none", GuardKind.CRASH, {}), runs)]
    rows += [_found(plan, world, harm, runs) for harm in HARMS if harm.kind in kinds]
    tried = list(_tried(asked))
    return Forecast(
        runs=runs,
        canaries=world.canaries,
        controls=world.controls,
        rows=rows,
        wanted=asked.wanted.name,
        probability=asked.probability,
        least_canaries=next((stage.canaries for stage in tried if stage.soak_hours is not None), None),
        stages=list(_stages(asked)),
        not_simulated=[guard.name for guard in plan.guards if not _is_simulated(guard, plan.guards)],
    )


def harm_named(name: str, guards: Sequence[Guard]) -> Harm:
    """The harm of that name. Raises ValueError that names those that the guards can see."""
    kinds = {guard.kind for guard in guards}
    seen = [harm for harm in HARMS if harm.kind in kinds]
    for harm in seen:
        if harm.name == name:
            return harm
    raise ValueError(f"found {name!r}, expected one of {', '.join(repr(harm.name) for harm in seen)}")


def outcomes(plan: JudgePlan, world: World, harm: Harm, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Hours until `fail` and until `pass` of each run, shape (runs,), infinity for never; the seeds are the harm's name's."""
    world = world._replace(**harm.change)
    guards = [guard for guard in plan.guards if _is_simulated(guard, plan.guards)]
    times = []
    for number in range(runs):
        chance = np.random.default_rng([zlib.crc32(harm.name.encode()), number])
        story = tell(world, chance)
        found = judge_columns(new_gate(guards, plan.alpha), evidence(world, story, chance), every_ms=EVERY_MS)
        times.append([np.inf if at is None else at / HOUR_MS for at in (found.first_fail, found.first_pass)])
    failed, passed = np.array(times).T
    return failed, passed


def _found(plan: JudgePlan, world: World, harm: Harm, runs: int) -> Found:
    failed, passed = outcomes(plan, world, harm, runs)
    hours = [hour for hour in HOURS if hour <= world.hours]
    hit = failed[np.isfinite(failed)]
    return Found(
        harm=harm.name,
        hours=hours,
        found_by=[round(float((failed <= hour).mean()), 4) for hour in hours],
        passed_by=[round(float((passed <= hour).mean()), 4) for hour in hours],
        median_hours=round(float(np.median(hit)), 2) if len(hit) else None,
    )


def _tried(asked: Question) -> Iterator[Stage]:
    for canaries in COHORTS:
        if 2 * canaries > asked.fleet:
            return
        stage = _stage(asked, canaries, canaries)
        yield stage
        if stage.soak_hours is not None:
            return


def _stages(asked: Question) -> Iterator[Stage]:
    for share in STAGES:
        canaries = round(share * asked.fleet)
        if canaries:
            yield _stage(asked, canaries, min(canaries, asked.fleet - canaries))


def _stage(asked: Question, canaries: int, controls: int) -> Stage:
    world = asked.world._replace(canaries=canaries, controls=controls)
    failed, _ = outcomes(asked.plan, world, asked.wanted, asked.runs)
    place = min(asked.runs, max(1, int(np.ceil(asked.probability * asked.runs)))) - 1
    needed = float(np.sort(failed)[place])
    return Stage(canaries=canaries, controls=controls, soak_hours=round(needed, 1) if np.isfinite(needed) else None)


def _is_simulated(guard: Guard, guards: Sequence[Guard]) -> bool:
    # The simulated fleet has neither alarms nor updates, and one soaked value; a second one would only repeat it.
    soaks = [other for other in guards if other.kind is GuardKind.SOAK]
    return guard.kind in (GuardKind.CRASH, GuardKind.SILENCE) or guard in soaks[:1]
