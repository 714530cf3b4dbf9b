"""The gate over recorded evidence: risk sets as counted by hand, blame as by closed testing, replays to the last bit."""

from __future__ import annotations

import random
from itertools import combinations, groupby

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.bets import play
from analytics.rollouts.gate import Gate, member_key, new_gate, threshold, weighted_harm
from analytics.rollouts.risk import EventTime, RiskTable
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Outcome

GUARDS = [
    Guard(name="crash", kind=GuardKind.CRASH, weight=2.0),
    Guard(name="silence", kind=GuardKind.SILENCE, weight=1.0),
]
HAPPENINGS = [EvidenceKind.CRASHED, EvidenceKind.SILENT, EvidenceKind.CENSORED, EvidenceKind.LATE]


def row(device: int, kind: EvidenceKind, at: int, arm: Arm, stratum: str) -> Evidence:
    return Evidence(
        rollout="fw", tenant="acme", device=f"d{device}", site="s", stratum=stratum, arm=arm, kind=kind, at=at
    )


def recording(seed: int, devices: int, harm: float) -> list[Evidence]:
    """Enrolments, then what happened: as a gate writes it, in order of time and with ties."""
    chance = random.Random(seed)
    fleet = [(n, chance.choice(list(Arm)), chance.choice("ab")) for n in range(devices)]
    rows = [row(n, EvidenceKind.ENROLLED, 0, arm, stratum) for n, arm, stratum in fleet]
    happened = [
        row(n, kind, chance.randint(1, 12), arm, stratum)
        for n, arm, stratum in fleet
        for kind in HAPPENINGS
        if chance.random() < (harm if arm is Arm.CANARY else 1 - harm)
    ]
    return rows + sorted(happened, key=lambda r: (r.at, r.stratum, r.kind, r.device))


recordings = st.builds(recording, st.integers(0, 1 << 32), st.integers(0, 40), st.sampled_from([0.5, 0.95]))


def gate_after(rows: list[Evidence]) -> Gate:
    gate = new_gate(GUARDS, 0.05)
    gate.apply(rows)
    return gate


@settings(max_examples=60)
@given(recordings)
def test_risk_sets_are_those_counted_by_hand(rows: list[Evidence]) -> None:
    table = RiskTable(1)
    for evidence in rows:
        if evidence.kind is EvidenceKind.ENROLLED:
            table.enrol(member_key(evidence), evidence.stratum, evidence.arm)
    gone: set[str] = set()
    enrolled = {r.device: r for r in rows if r.kind is EvidenceKind.ENROLLED}
    for (at, stratum, kind), run in groupby(rows[len(enrolled) :], lambda r: (r.at, r.stratum, r.kind)):
        devices = [r.device for r in run]
        if kind is EvidenceKind.CENSORED:
            table.censor([f"s/{device}" for device in devices])
            gone.update(devices)
        if kind is not EvidenceKind.CRASHED:
            continue
        exposed = [r for d, r in enrolled.items() if d not in gone and r.stratum == stratum]
        failing = [r for r in exposed if r.device in devices]
        expected = EventTime(
            sum(r.arm is Arm.CANARY for r in failing),
            len(failing),
            sum(r.arm is Arm.CANARY for r in exposed),
            sum(r.arm is Arm.CONTROL for r in exposed),
            at,
        )
        gone.update(devices)
        found = table.fail(0, stratum, [f"s/{device}" for device in devices], at)
        assert found == (expected if failing else None)


@settings(max_examples=60)
@given(recordings, st.lists(st.integers(0, 200), max_size=4))
def test_however_the_evidence_is_split_the_gate_ends_in_the_same_bits(rows: list[Evidence], cuts: list[int]) -> None:
    whole, parts = gate_after(rows), new_gate(GUARDS, 0.05)
    ends = [n for n in sorted(cuts) if 0 < n < len(rows) and not same_moment(rows[n - 1], rows[n])]
    for start, end in zip([0, *ends], [*ends, len(rows)], strict=True):
        parts.apply(rows[start:end])
    # A gate that failed has read on within its batch; nothing of that is part of its answer.
    assert essence(parts) == essence(whole)
    assert essence(gate_after(rows[: whole.rows])) == essence(whole)


def same_moment(one: Evidence, other: Evidence) -> bool:
    return (one.at, one.stratum, one.kind) == (other.at, other.stratum, other.kind)


def essence(gate: Gate) -> object:
    enrolled = gate.risk.enrolled
    return msgspec.to_builtins(msgspec.structs.replace(gate, risk=RiskTable(0, enrolled=enrolled)))


@settings(max_examples=60)
@given(recordings)
def test_the_guilty_guard_is_one_that_closed_testing_names(rows: list[Evidence]) -> None:
    gate = gate_after(rows)
    harm = {bets.guard.name: float(play(bets, ()).log10_harm[-1]) for bets in gate.bets}
    weight = {bets.guard.name: bets.guard.weight for bets in gate.bets}

    def is_rejected(guards: tuple[str, ...]) -> bool:
        # The same merge, for the hypothesis that all of these guards are harmless.
        total = sum(weight[name] for name in guards)
        merged = max(10 ** harm[name] * weight[name] / total for name in guards)
        return merged >= (1 - 1e-6) / gate.alpha

    subsets = [s for size in range(1, 3) for s in combinations(harm, size)]
    guilty = {name for name in harm if all(is_rejected(s) for s in subsets if name in s)}
    assert (gate.outcome is Outcome.FAIL) == bool(guilty)
    assert gate.guilty in (guilty or {""})


@settings(max_examples=60)
@given(recordings)
def test_fail_comes_at_the_first_moment_that_reaches_the_threshold(rows: list[Evidence]) -> None:
    gate = gate_after(rows)
    if gate.outcome is Outcome.FAIL:
        last_moment = rows[gate.rows - 1]
        before = gate_after([r for r in rows[: gate.rows] if not same_moment(r, last_moment)])
        assert before.outcome is not Outcome.FAIL
        assert gate.since == last_moment.at
        assert gate.apply(rows) == 0
    harm = max(float(weighted_harm(bets, play(bets, ()))[-1]) for bets in gate.bets)
    assert (harm >= threshold(0.05)) == (gate.outcome is Outcome.FAIL)


def test_a_device_bets_once_per_guard() -> None:
    rows = [row(n, EvidenceKind.ENROLLED, 0, Arm.CANARY if n < 4 else Arm.CONTROL, "a") for n in range(8)]
    crash = row(0, EvidenceKind.CRASHED, 5, Arm.CANARY, "a")
    again = row(0, EvidenceKind.CRASHED, 6, Arm.CANARY, "a")
    once, twice = gate_after([*rows, crash]), gate_after([*rows, crash, again])
    assert once.bets == twice.bets
    assert once.bets[0].events == (1, 0)
    assert once.e_value_log10() == pytest.approx(twice.e_value_log10())
