"""The gate over recorded evidence: risk sets as counted by hand, blame as by closed testing, replays to the last bit."""

from __future__ import annotations

import random
from itertools import combinations, groupby

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.arrays import decode_arrays, encode
from analytics.rollouts.bets import event_times
from analytics.rollouts.columns import Code, batch_of
from analytics.rollouts.eprocess.combine import threshold
from analytics.rollouts.gate import Gate, new_gate, weighted_harm
from ingest.contract.events import Arm, Evidence, EvidenceKind, Guard, GuardKind, Outcome
from tests.examples import examples

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


def naive_event_times(rows: list[Evidence]) -> list[tuple[int, int, int, int]]:
    """o, d, n1 and n0 of every instant and stratum with first crashes, counted by hand."""
    exposed: dict[str, Evidence] = {}
    found = []
    for _, instant in groupby(rows, lambda r: r.at):
        now = list(instant)
        exposed |= {r.device: r for r in now if r.kind is EvidenceKind.ENROLLED}
        for stratum in sorted({r.stratum for r in exposed.values()}):
            at_risk = [r for r in exposed.values() if r.stratum == stratum]
            crashing = {r.device for r in now if r.kind is EvidenceKind.CRASHED}
            failing = [r for r in at_risk if r.device in crashing]
            if failing:
                arms = [sum(r.arm is Arm.CANARY for r in group) for group in (failing, at_risk)]
                found.append((arms[0], len(failing), arms[1], len(at_risk) - arms[1]))
        gone = {r.device for r in now if r.kind in (EvidenceKind.CRASHED, EvidenceKind.CENSORED)}
        exposed = {device: r for device, r in exposed.items() if device not in gone}
    return found


@settings(max_examples=examples(60))
@given(recordings)
def test_risk_sets_are_those_counted_by_hand(rows: list[Evidence]) -> None:
    # Strata are numbered in the order of their first enrolment: here that is the alphabet.
    rows = sorted(rows, key=lambda r: (r.at, r.stratum if r.kind is EvidenceKind.ENROLLED else ""))
    gate = new_gate(GUARDS, 0.05)
    batch = batch_of(gate.roster.columns(rows), 0)
    gate.cohort.enrol(batch)
    code = batch.rows.code
    events, exits = ((code == kind).nonzero()[0] for kind in (Code.CRASHED, Code.CENSORED))
    happened = gate.bets[0].exposure.advance(batch, gate.cohort, events, exits)
    _, table = event_times(batch, gate.cohort, happened)
    assert [tuple(line) for line in table.tolist()] == naive_event_times(rows)


@settings(max_examples=examples(60))
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
    return one.at == other.at


def essence(gate: Gate) -> object:
    """What a gate answers by; who is still at risk does not matter once it has failed."""
    bets = [(b.harm, b.safe, b.events) for b in gate.bets]
    saved = [encode(b.exposure) + encode(b.soaked) for b in gate.bets if gate.outcome is not Outcome.FAIL]
    return (
        bets,
        saved,
        gate.outcome,
        gate.since,
        gate.passed_at,
        gate.guilty,
        gate.rows,
        gate.late,
        gate.cohort.enrolled,
    )


@settings(max_examples=examples(30))
@given(recordings, st.integers(0, 200))
def test_a_gate_that_was_saved_and_restored_goes_on_as_if_nothing_had_been(rows: list[Evidence], cut: int) -> None:
    end = next((n for n in range(cut, len(rows)) if n and not same_moment(rows[n - 1], rows[n])), len(rows))
    gate = new_gate(GUARDS, 0.05)
    gate.apply(rows[:end])
    restored = msgspec.msgpack.decode(encode(gate), type=Gate, dec_hook=decode_arrays)
    for one in (gate, restored):
        one.apply(rows[end:])
    assert encode(restored) == encode(gate)


@settings(max_examples=examples(60))
@given(recordings)
def test_the_guilty_guard_is_one_that_closed_testing_names(rows: list[Evidence]) -> None:
    gate = gate_after(rows)
    harm = {bets.guard.name: bets.log10_harm for bets in gate.bets}
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


@settings(max_examples=examples(60))
@given(recordings)
def test_fail_comes_at_the_first_moment_that_reaches_the_threshold(rows: list[Evidence]) -> None:
    gate = gate_after(rows)
    if gate.outcome is Outcome.FAIL:
        last_moment = rows[gate.rows - 1]
        before = gate_after([r for r in rows[: gate.rows] if not same_moment(r, last_moment)])
        assert before.outcome is not Outcome.FAIL
        assert gate.since == last_moment.at
        assert gate.apply(rows) == 0
    harm = max(weighted_harm(bets) for bets in gate.bets)
    assert (harm >= threshold(0.05)) == (gate.outcome is Outcome.FAIL)


def test_a_device_bets_once_per_guard() -> None:
    rows = [row(n, EvidenceKind.ENROLLED, 0, Arm.CANARY if n < 4 else Arm.CONTROL, "a") for n in range(8)]
    crash = row(0, EvidenceKind.CRASHED, 5, Arm.CANARY, "a")
    again = row(0, EvidenceKind.CRASHED, 6, Arm.CANARY, "a")
    once, twice = gate_after([*rows, crash]), gate_after([*rows, crash, again])
    assert once.bets[0].harm == twice.bets[0].harm
    assert once.bets[0].events == (1, 0)
    assert once.e_value_log10() == pytest.approx(twice.e_value_log10())
