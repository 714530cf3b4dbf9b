"""Dark sites against a naive oracle, and that the arms play no part in who leaves and who is told to be silent."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.assign import Candidate
from analytics.rollouts.enrolment import enrol
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.observing import observe_site
from analytics.rollouts.rollout import Rollout, new_rollout
from ingest.contract.events import Arm, EvidenceKind
from tests.examples import examples
from tests.gate_world import plan_of

OUTAGE_MS, DRAWN_AT, END = 50, 10, 10_000
DEVICES = [f"d{n}" for n in range(5)]


def rollout_of(swapped: bool) -> Rollout:  # noqa: FBT001 - one of two worlds
    plan = plan_of(rollout="fw", created=0, alpha=1e-9, install_grace_s=300.0, outage_s=OUTAGE_MS / 1000)
    rollout = new_rollout(plan, accepted_at=0, trace="")
    enrol(rollout, "s", DRAWN_AT, [Candidate("s", name, "rev-a", "pumps") for name in DEVICES])
    if swapped:
        for history in rollout.histories.values():
            history.arm = Arm.CONTROL if history.arm is Arm.CANARY else Arm.CANARY
    return rollout


def presence(seed: int) -> list[Fact]:
    """Devices fall silent and come back, now and then all of them at about the same time."""
    chance, facts = random.Random(seed), []
    for name in DEVICES:
        at = DRAWN_AT
        for _ in range(chance.randint(0, 4)):
            at += chance.randint(1, 400)
            facts.append(Fact(at, FactKind.SILENT, "s", name))
            at += chance.randint(1, 400)
            back = chance.choice([FactKind.HEARD, FactKind.REBOOTED, FactKind.INSTALLED])
            facts.append(Fact(at, back, "s", name))
    if chance.random() < 0.7:
        dark = chance.randint(100, 1500)
        facts = [fact for fact in facts if not dark - 100 <= fact.at <= dark + 500]
        facts += [Fact(dark + chance.randint(0, 40), FactKind.SILENT, "s", name) for name in DEVICES]
        facts += [
            Fact(dark + chance.randint(100, 400), FactKind.HEARD, "s", n) for n in DEVICES if chance.random() < 0.8
        ]
    return sorted(facts)


def happened(rollout: Rollout, facts: list[Fact]) -> list[tuple[int, EvidenceKind, str]]:
    rows = [row.evidence for row in observe_site(rollout, "s", facts, END)]
    return [(row.at, row.kind, row.device) for row in rows if row.kind is not EvidenceKind.CRASHED]


@settings(max_examples=examples(40))
@given(st.integers(0, 1 << 32))
def test_who_leaves_with_a_dark_site_and_who_is_silent_does_not_depend_on_the_arms(seed: int) -> None:
    facts = presence(seed)
    assert happened(rollout_of(swapped=False), facts) == happened(rollout_of(swapped=True), facts)


@settings(max_examples=examples(40))
@given(st.integers(0, 1 << 32))
def test_the_first_outage_is_the_first_time_that_all_who_were_there_fall_silent_together(seed: int) -> None:
    facts = presence(seed)
    rows = happened(rollout_of(swapped=False), facts)
    told: dict[str, int] = {}
    expected: list[tuple[int, EvidenceKind, str]] = []
    for silent in (fact for fact in facts if fact.kind is FactKind.SILENT):
        at = silent.at + OUTAGE_MS
        if silent.device in told or (expected and expected[-1][1] is EvidenceKind.CENSORED):
            continue
        told[silent.device] = at
        last = {
            name: max(
                (f.at for f in facts if f.device == name and f.kind is FactKind.SILENT and f.at <= at), default=-END
            )
            for name in DEVICES
            if told.get(name, END) >= at
        }
        arms = {h.arm for h in rollout_of(swapped=False).histories.values() if h.device in last}
        if len(arms) > 1 and all(abs(one - last[silent.device]) <= OUTAGE_MS for one in last.values()):
            expected += [(at, EvidenceKind.CENSORED, name) for name in last]
        else:
            expected.append((at, EvidenceKind.SILENT, silent.device))
    until = next((at for at, kind, _ in rows if kind is EvidenceKind.ENROLLED), END)
    assert [row for row in rows if row[0] < until] == sorted(row for row in expected if row[0] < until)


@settings(max_examples=examples(40))
@given(st.integers(0, 1 << 32))
def test_whoever_left_is_enrolled_anew_at_once_with_all_others_in_a_wave_of_its_own(seed: int) -> None:
    rollout = rollout_of(swapped=False)
    rows = [row.evidence for row in observe_site(rollout, "s", presence(seed), END)]
    left = [row for row in rows if row.kind is EvidenceKind.CENSORED]
    back = [row for row in rows if row.kind is EvidenceKind.ENROLLED]
    for at in sorted({row.at for row in back}):
        together = {row.device for row in back if row.at == at}
        before = max(row.at for row in left if row.at < at)
        assert together == {row.device for row in left if row.at == before}
        assert {row.wave for row in back if row.at == at} == {f"+{sorted({r.at for r in back}).index(at) + 1}"}
    silent = [(row.device, row.wave) for row in rows if row.kind is EvidenceKind.SILENT]
    assert len(silent) == len(set(silent))
