"""The gate's promises by simulation, through the very functions that serve production. Seeds are fixed and printed."""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from analytics.rollouts.assign import Assignment, Candidate, draw_arms
from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.staging import Member, draw_stage
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Outcome, Stage
from tests.gate_world import plan_of

HOUR = 3_600_000
GUARDS = [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)]
ALPHA = 0.05


class World(NamedTuple):
    """A fleet over `hours`: first crashes at `crash_rate` per hour times a device's frailty and, for canaries, `crash_ratio`.

    Frailties are gamma of shape `frailty` (mean 1), twice as high on rev-b. A crash brings a silence with it at
    `silence_after_crash`; silence comes by itself at 0.001 per hour. `shock` of all devices crash in the first hour;
    `bricked` of the canaries fall silent within it. `tie_ms` rounds times, so that many events come at once.
    """

    devices: int = 100
    hours: float = 24.0
    crash_rate: float = 0.02
    crash_ratio: float = 1.0
    frailty: float = 0.5
    silence_after_crash: float = 0.5
    shock: float = 0.0
    bricked: float = 0.0
    tie_ms: int = 1


@cache
def fleet(devices: int, seed: int) -> list[Assignment]:
    names = [Candidate(f"s{n % 2}", f"d{n}", ("rev-a", "rev-b")[n // 2 % 2], "pumps") for n in range(devices)]
    return draw_arms(names, rollout="fw", seed=seed, share=0.5)


def simulate(world: World, seed: int) -> list[Evidence]:
    chance = np.random.default_rng(seed)
    drawn = fleet(world.devices, seed % 10)
    canary = np.array([a.arm is Arm.CANARY for a in drawn])
    frail = chance.gamma(world.frailty, 1 / world.frailty, world.devices)
    frail *= np.array([1 + (a.candidate.hardware == "rev-b") for a in drawn])
    hazard = world.crash_rate * frail * np.where(canary, world.crash_ratio, 1.0) + 1e-12
    crash = chance.exponential(1 / hazard)
    shocked = chance.random(world.devices) < world.shock
    crash = np.where(shocked, np.minimum(crash, chance.random(world.devices)), crash)
    silence = chance.exponential(1000.0, world.devices)
    with_crash = chance.random(world.devices) < world.silence_after_crash
    silence = np.where(with_crash, np.minimum(silence, crash + 0.001), silence)
    bricks = canary & (chance.random(world.devices) < world.bricked)
    silence = np.where(bricks, np.minimum(silence, chance.random(world.devices)), silence)

    def rows(kind: EvidenceKind, times: np.ndarray) -> list[Evidence]:
        ms = (np.minimum(times, 1e6) * HOUR).astype(np.int64) // world.tie_ms * world.tie_ms + 1
        return [
            Evidence(
                rollout="fw",
                tenant="acme",
                device=a.candidate.device,
                site=a.candidate.site,
                stratum=a.stratum,
                arm=a.arm,
                kind=kind,
                at=int(at),
            )
            for a, at, hours in zip(drawn, ms, times, strict=True)
            if hours < world.hours
        ]

    enrolled = rows(EvidenceKind.ENROLLED, np.zeros(world.devices))
    happened = rows(EvidenceKind.CRASHED, crash) + rows(EvidenceKind.SILENT, silence)
    return enrolled + sorted(happened, key=lambda r: (r.at, r.stratum, r.kind, r.device))


def judge(world: World, seed: int) -> Gate:
    return judged(simulate(world, seed))


def judged(rows: list[Evidence]) -> Gate:
    gate = new_gate(GUARDS, ALPHA)
    gate.apply(rows)
    return gate


def outcomes(world: World, runs: int) -> tuple[dict[Outcome, float], list[Gate]]:
    gates = [judge(world, seed) for seed in range(runs)]
    shares = {outcome: sum(g.outcome is outcome for g in gates) / runs for outcome in Outcome}
    sys.stdout.write(f"{world}, seeds 0-{runs - 1}: {shares}\n")
    return shares, gates


@pytest.mark.parametrize(
    ("world", "runs"),
    [
        (World(), 400),
        (World(shock=0.2), 120),
        (World(tie_ms=HOUR), 120),
        (World(devices=40, frailty=0.1, silence_after_crash=1.0), 400),
    ],
    ids=["identical", "shock in both arms", "everything comes in ties", "unlike devices whose crashes silence them"],
)
def test_identical_releases_fail_at_most_as_often_as_promised_although_looked_at_after_every_event(
    world: World, runs: int
) -> None:
    shares, _ = outcomes(world, runs)
    # The promise is alpha; what chance may add to it in so many runs is three standard errors.
    assert shares[Outcome.FAIL] <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


PLAN = plan_of(rollout="fw", stages=[Stage(share=0.2), Stage(share=0.5), Stage(share=1.0)], hold_out=0.1)


def staged(seed: int, devices: int = 60, hours: float = 24.0, ratio: float = 1.0) -> list[Evidence]:
    """Three stages of eight hours; very unlike devices crash again and again, more often by `ratio` once they have the release."""
    chance = np.random.default_rng(seed)
    names = [Candidate("s0", f"d{n}", ("rev-a", "rev-b")[n % 2], "pumps") for n in range(devices)]
    drawn = draw_arms(names, rollout="fw", seed=seed % 10, share=PLAN.first_share())
    member = {Member(a.candidate.site, a.candidate.device, a.stratum): a.arm for a in drawn}
    rate = dict(zip(member, 0.1 * chance.gamma(0.2, 5.0, devices), strict=True))
    rows, wave = [], dict.fromkeys(member, "")
    fresh = list(member)
    for stage, begin in enumerate((0.0, 8.0, 16.0)):
        if stage:
            canaries = Counter(one.stratum for one, arm in member.items() if arm is Arm.CANARY)
            plan = msgspec.structs.replace(PLAN, seed=seed % 10)
            again = draw_stage(plan, stage, [m for m, arm in member.items() if arm is Arm.CONTROL], canaries)
            rows += [row(one.member, member[one.member], wave, EvidenceKind.CENSORED, begin) for one in again]
            member |= {one.member: one.arm for one in again}
            wave |= {one.member: str(stage) for one in again}
            fresh = [one.member for one in again]
        rows += [row(one, member[one], wave, EvidenceKind.ENROLLED, begin + 1e-6) for one in fresh]
        # First crashes of this stage's eight hours: the gate itself takes only the first since an enrolment.
        waits = {
            m: chance.exponential(1 / (rate[m] * (ratio if member[m] is Arm.CANARY else 1.0) + 1e-12)) for m in member
        }
        rows += [
            row(one, member[one], wave, EvidenceKind.CRASHED, begin + wait)
            for one, wait in waits.items()
            if 1e-5 < wait < hours / 3
        ]
    return sorted(rows, key=lambda r: (r.at, r.stratum, r.kind.value, r.device))


def row(member: Member, arm: Arm, wave: dict[Member, str], kind: EvidenceKind, hours: float) -> Evidence:
    return Evidence(
        rollout="fw",
        tenant="acme",
        device=member.device,
        site=member.site,
        stratum=member.stratum,
        arm=arm,
        wave=wave[member],
        kind=kind,
        at=round(hours * HOUR) + 1,
    )


def test_stages_keep_the_promise_although_controls_become_canaries() -> None:
    runs = 300
    false = sum(judged(staged(seed)).outcome is Outcome.FAIL for seed in range(runs))
    found = sum(judged(staged(seed, ratio=12.0)).outcome is Outcome.FAIL for seed in range(40))
    sys.stdout.write(f"seeds 0-{runs - 1}: {false} false fails, {found} of 40 harmful ones found\n")
    assert false / runs <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
    assert found >= 15, "the first stage's dozen canaries, and those after them"


def test_a_crash_rate_five_times_as_high_is_found_within_a_day() -> None:
    shares, gates = outcomes(World(devices=200, crash_ratio=5.0), 60)
    assert shares[Outcome.FAIL] >= 0.95
    assert {gate.guilty for gate in gates if gate.outcome is Outcome.FAIL} <= {"crash", "silence"}


def test_bricked_devices_are_found_although_they_send_nothing() -> None:
    shares, gates = outcomes(World(bricked=0.3, silence_after_crash=0.0), 60)
    assert shares[Outcome.FAIL] >= 0.95
    assert np.median([gate.since for gate in gates if gate.outcome is Outcome.FAIL]) <= HOUR
    assert all(gate.guilty == "silence" for gate in gates if gate.outcome is Outcome.FAIL)


def test_a_harmless_release_passes_once_enough_has_happened_and_one_at_the_margin_hardly_ever() -> None:
    busy = World(devices=400, crash_rate=0.1, frailty=1e6, silence_after_crash=1.0)
    harmless, _ = outcomes(busy, 25)
    assert harmless[Outcome.PASS] >= 0.5
    at_margin, _ = outcomes(busy._replace(crash_ratio=1.5), 25)
    assert at_margin[Outcome.PASS] <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / 25) ** 0.5


def demo_rows(seed: int, *, harmful: bool) -> list[Evidence]:
    """Three sites of twenty; rev-b canaries crash 10 to 20 s after the install, three of them go silent instead."""
    chance = np.random.default_rng(seed)
    names = [(f"s{s}", f"s{s}-{n:03d}", n) for s in range(3) for n in range(20)]
    candidates = [Candidate(s, d, ("rev-a", "rev-b")[n % 2], ("pumps", "fans")[n // 2 % 2]) for s, d, n in names]
    drawn = draw_arms(candidates, rollout="fw", seed=seed, share=0.5)

    def fact(a: Assignment, kind: EvidenceKind, at: float) -> Evidence:
        c = a.candidate
        return Evidence(
            rollout="fw", tenant="t", device=c.device, site=c.site, stratum=a.stratum, arm=a.arm, kind=kind, at=int(at)
        )

    rows = [fact(a, EvidenceKind.ENROLLED, 0) for a in drawn]
    hit = [a for a in drawn if a.arm is Arm.CANARY and a.candidate.hardware == "rev-b"] if harmful else []
    order = chance.permutation(len(hit))
    facts = [
        fact(hit[i], EvidenceKind.SILENT if rank < 3 else EvidenceKind.CRASHED, chance.uniform(10_000, 20_000) + 3000)
        for rank, i in enumerate(order)
    ]
    facts += [fact(a, EvidenceKind.CRASHED, chance.uniform(0, 60_000)) for a in drawn if chance.random() < 0.03]
    return rows + sorted(facts, key=lambda r: (r.at, r.stratum, r.kind))


def test_the_demos_release_fails_within_a_dozen_first_events_and_the_harmless_one_does_not() -> None:
    bad, good = [], []
    for seed in range(40):
        for harmful, gates in ((True, bad), (False, good)):
            gate = new_gate(GUARDS, ALPHA)
            gate.apply(demo_rows(seed, harmful=harmful))
            gates.append(gate)
    assert all(gate.outcome is Outcome.FAIL for gate in bad)
    assert max(sum(sum(bets.events) for bets in gate.bets) for gate in bad) <= 15
    assert not any(gate.outcome is Outcome.FAIL for gate in good)
