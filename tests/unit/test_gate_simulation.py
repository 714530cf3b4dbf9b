"""The gate's promises by simulation, through the very functions that serve production. Seeds are fixed and printed."""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from analytics.rollouts.assign import Assignment, Candidate, draw_arms
from analytics.rollouts.gate import Gate, new_gate
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Outcome

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
    gate = new_gate(GUARDS, ALPHA)
    gate.apply(simulate(world, seed))
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
