"""What a plan will find on a fleet, by when and how surely: told by simulation before the start, through the gate's own step."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.gate import new_gate
from analytics.rollouts.recording import JudgePlan, judge_columns
from compose.bench.gate.world import HOUR_MS, World, evidence, tell
from compose.planning.harms import HARMS, Harm, is_simulated
from compose.planning.staged import Staging, staged_evidence
from ingest.contract.events import GuardKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.rollouts.columns import EvidenceColumns

HOURS = (1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0)
"""When the table tells how much has been found."""
COHORTS = (25, 50, 100, 200, 500, 1000, 2000)
"""Canaries that are tried for a proposal."""
STAGES = (0.02, 0.1, 0.5)
"""Shares of the fleet for a proposal's stages; the last keeps the other half as control."""
EVERY_MS = 300_000


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


class PlanStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of the plan itself: how many canaries there are then, and hours from the first draw to its own.

    `found_before` is how surely the wanted harm has been found by then.
    """

    canaries: int
    begins_hours: float
    found_before: float


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
    plan_stages: list[PlanStage]
    not_simulated: list[str]


class Question(NamedTuple):
    """What is asked: this plan on this world, `runs` simulated rollouts each.

    And how many devices, of a fleet of `fleet`, it takes to find the harm `wanted` with this probability. `staging` is what the plan
    says of stages, if it does; `others` are its parts that nobody here simulates.
    """

    plan: JudgePlan
    world: World
    runs: int
    wanted: Harm
    probability: float
    fleet: int
    staging: Staging | None = None
    others: Sequence[str] = ()


def forecast(asked: Question) -> Forecast:
    """Simulate every harm that the plan has a guard for; propose cohorts for the wanted one."""
    plan = asked.plan
    kinds = {guard.kind for guard in plan.guards}
    asked = asked._replace(world=_watched(asked.world, kinds))
    rows = [_found(asked, Harm("none", GuardKind.CRASH, {}))]
    rows += [_found(asked, harm) for harm in HARMS if harm.kind in kinds]
    tried = list(_tried(asked))
    unseen = [guard.name for guard in plan.guards if not is_simulated(guard, plan.guards)]
    return Forecast(
        runs=asked.runs,
        canaries=asked.world.canaries,
        controls=asked.world.controls,
        rows=rows,
        wanted=asked.wanted.name,
        probability=asked.probability,
        least_canaries=next((stage.canaries for stage in tried if stage.soak_hours is not None), None),
        stages=list(_stages(asked)),
        plan_stages=list(_plan_stages(asked)),
        not_simulated=[*unseen, *asked.others],
    )


def outcomes(asked: Question, harm: Harm) -> tuple[np.ndarray, np.ndarray]:
    """Hours until `fail` and until `pass` of each run, shape (runs,), infinity for never; the seeds are the harm's name's."""
    world = asked.world._replace(**harm.change)
    guards = [guard for guard in asked.plan.guards if is_simulated(guard, asked.plan.guards)]
    times = []
    for number in range(asked.runs):
        chance = np.random.default_rng([zlib.crc32(harm.name.encode()), number])
        rows = _rows(world, asked.staging, chance)
        found = judge_columns(new_gate(guards, asked.plan.alpha), rows, every_ms=EVERY_MS)
        times.append([np.inf if at is None else at / HOUR_MS for at in (found.first_fail, found.first_pass)])
    failed, passed = np.array(times).T
    return failed, passed


def _rows(world: World, staging: Staging | None, chance: np.random.Generator) -> EvidenceColumns:
    if staging is not None:
        return staged_evidence(world, staging, chance)
    story = tell(world, chance)
    return evidence(world, story, chance)


def _watched(world: World, kinds: set[GuardKind]) -> World:
    # What no guard watches would only take time.
    alarms = world.alarm_rate if GuardKind.ALARM in kinds else 0.0
    return world._replace(alarm_rate=alarms, updates=GuardKind.UPDATE in kinds)


def _found(asked: Question, harm: Harm) -> Found:
    failed, passed = outcomes(asked, harm)
    hours = [hour for hour in HOURS if hour <= asked.world.hours]
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
    failed, _ = outcomes(asked._replace(world=world, staging=None), asked.wanted)
    place = min(asked.runs, max(1, int(np.ceil(asked.probability * asked.runs)))) - 1
    needed = float(np.sort(failed)[place])
    return Stage(canaries=canaries, controls=controls, soak_hours=round(needed, 1) if np.isfinite(needed) else None)


def _plan_stages(asked: Question) -> Iterator[PlanStage]:
    if asked.staging is None:
        return
    failed, _ = outcomes(asked, asked.wanted)
    most = 1.0 - asked.staging.hold_out
    for share, begins in zip(asked.staging.shares, asked.staging.begins, strict=True):
        before = round(float((failed <= begins).mean()), 4)
        yield PlanStage(canaries=round(min(share, most) * asked.fleet), begins_hours=begins, found_before=before)
