"""Evidence from facts: the same in whatever order and however often they arrive, one event per device and guard."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollouts.assign import Candidate
from analytics.rollouts.enrolment import command_canaries, enrol
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.observing import observe_site
from analytics.rollouts.rollout import Rollout, Row, new_rollout
from analytics.rollouts.timeline import Heartbeat, Timeline
from ingest.contract.events import Arm, EvidenceKind
from tests.examples import examples
from tests.gate_world import plan_of

GRACE_MS = 30
DRAWN_AT = 10
END = 1000
DEVICES = [f"d{n}" for n in range(6)]
HAPPENING = [FactKind.INSTALLED, FactKind.REBOOTED, FactKind.HEARD, FactKind.SILENT, FactKind.RETIRED]


def enrolled_rollout(outage_ms: int = 0) -> Rollout:
    plan = plan_of(rollout="fw", created=0, alpha=1e-9, install_grace_s=GRACE_MS / 1000, outage_s=outage_ms / 1000)
    rollout = new_rollout(plan, accepted_at=0, trace="")
    enrol(rollout, "s", DRAWN_AT, [Candidate("s", name, "rev-a", "pumps") for name in DEVICES])
    command_canaries(rollout, "s")
    return rollout


def facts_of(seed: int, count: int) -> list[Fact]:
    chance, rollout = random.Random(seed), enrolled_rollout()
    facts = [Fact(chance.randint(1, 200), chance.choice(HAPPENING), "s", chance.choice(DEVICES)) for _ in range(count)]
    for history in rollout.histories.values():
        if history.command and chance.random() < 0.7:
            at = chance.randint(DRAWN_AT, 100)
            facts.append(Fact(at, FactKind.ACCEPTED, "s", history.device, history.command))
            if chance.random() < 0.5:
                over = at + chance.randint(0, 60)
                facts.append(Fact(over, FactKind.INSTALL_OVER, "s", history.device, history.command))
    return facts


fact_lists = st.builds(facts_of, st.integers(0, 1 << 32), st.integers(0, 30))


def run(arrivals: list[tuple[list[Fact], int]], outage_ms: int = 0) -> list[Row]:
    """What a rollout makes of facts that arrive in portions, each followed by a watermark."""
    rollout, timeline, rows = enrolled_rollout(outage_ms), Timeline(), []
    for facts, watermark in arrivals:
        for fact in facts:
            timeline.add(fact)
        timeline.hear("gw", Heartbeat(watermark, 0, 0))
        if timeline.advance(0, settle_ms=0, patience_ms=10):
            rows += observe_site(rollout, "s", timeline.release(), timeline.watermark)
    return rows


def by_device(rows: list[Row]) -> list[tuple[str, EvidenceKind, int]]:
    return sorted((row.evidence.device, row.evidence.kind, row.evidence.at) for row in rows)


@settings(max_examples=examples(150))
@given(fact_lists, st.integers(0, 1 << 32), st.lists(st.integers(1, 200), max_size=5), st.sampled_from([0, 20, 60]))
def test_order_repetition_and_portions_of_arrival_change_nothing(
    facts: list[Fact], seed: int, cuts: list[int], outage_ms: int
) -> None:
    chance = random.Random(seed)
    in_order = run([(sorted(facts), END)], outage_ms)
    marks = [*sorted(cuts), END]
    portions: list[tuple[list[Fact], int]] = []
    for mark in marks:
        previous = portions[-1][1] if portions else 0
        early = [fact for fact in facts if fact.at > mark and chance.random() < 0.3]
        due = [fact for fact in facts if previous < fact.at <= mark]
        arriving = due + early + chance.sample(due, len(due) // 2)
        chance.shuffle(arriving)
        portions.append((arriving, mark))
    assert run(portions, outage_ms) == in_order


@settings(max_examples=examples(100))
@given(fact_lists)
def test_a_device_crashes_falls_silent_and_leaves_at_most_once_and_only_after_the_draw(facts: list[Fact]) -> None:
    rows = run([(facts, END)])
    counts = Counter((row.evidence.device, row.evidence.kind) for row in rows)
    assert all(count == 1 for count in counts.values())
    assert all(row.evidence.at > DRAWN_AT for row in rows)
    left = {row.evidence.device: row.evidence.at for row in rows if row.evidence.kind is EvidenceKind.CENSORED}
    assert all(row.evidence.at <= left.get(row.evidence.device, END) for row in rows)


@settings(max_examples=examples(100))
@given(st.builds(facts_of, st.integers(0, 1 << 32), st.integers(0, 30)))
def test_controls_have_no_grace_their_first_crash_and_silence_count_as_they_come(facts: list[Fact]) -> None:
    controls = {h.device for h in enrolled_rollout().histories.values() if h.arm is Arm.CONTROL}
    rows = [entry for entry in by_device(run([(facts, END)])) if entry[0] in controls]
    expected = []
    for device in sorted(controls):
        own = [fact for fact in sorted(facts) if fact.device == device and fact.at > DRAWN_AT]
        retired = next((n for n, fact in enumerate(own) if fact.kind is FactKind.RETIRED), len(own))
        for kind, evidence in (
            (FactKind.REBOOTED, EvidenceKind.CRASHED),
            (FactKind.SILENT, EvidenceKind.SILENT),
            (FactKind.RETIRED, EvidenceKind.CENSORED),
        ):
            first = next((fact for fact in own[: retired + 1] if fact.kind is kind), None)
            expected += [(device, evidence, first.at)] if first else []
    assert rows == sorted(expected)


def canary() -> tuple[Rollout, str, str]:
    rollout = enrolled_rollout()
    history = next(h for h in rollout.histories.values() if h.command)
    return rollout, history.device, history.command


def kinds(rollout: Rollout, facts: list[Fact], watermark: int = END) -> list[tuple[EvidenceKind, int]]:
    return [(row.evidence.kind, row.evidence.at) for row in observe_site(rollout, "s", sorted(facts), watermark)]


def test_the_installs_own_reboot_and_silence_are_no_evidence() -> None:
    rollout, device, command = canary()
    facts = [
        Fact(20, FactKind.ACCEPTED, "s", device, command),
        Fact(25, FactKind.SILENT, "s", device),
        Fact(30, FactKind.REBOOTED, "s", device),
        Fact(35, FactKind.INSTALLED, "s", device),
        Fact(36, FactKind.INSTALL_OVER, "s", device, command),
    ]
    assert kinds(rollout, facts) == []


def test_a_device_that_the_install_bricked_counts_as_silent_once_the_grace_has_passed() -> None:
    rollout, device, command = canary()
    facts = [Fact(20, FactKind.ACCEPTED, "s", device, command), Fact(25, FactKind.SILENT, "s", device)]
    assert kinds(rollout, facts, watermark=49) == []
    assert kinds(rollout, [], watermark=51) == [(EvidenceKind.SILENT, 20 + GRACE_MS)]
    assert kinds(rollout, [], watermark=END) == []


def test_an_alarm_that_is_told_in_the_grace_is_no_sign_of_life_of_a_bricked_device() -> None:
    rollout, device, command = canary()
    facts = [
        Fact(20, FactKind.ACCEPTED, "s", device, command),
        Fact(25, FactKind.SILENT, "s", device),
        Fact(26, FactKind.ALARMED, "s", device),
        Fact(27, FactKind.INSTALL_OVER, "s", device, "another"),
    ]
    assert kinds(rollout, facts) == [(EvidenceKind.SILENT, 20 + GRACE_MS)]


def test_what_follows_the_install_counts_at_once() -> None:
    rollout, device, command = canary()
    facts = [
        Fact(20, FactKind.ACCEPTED, "s", device, command),
        Fact(22, FactKind.INSTALLED, "s", device),
        Fact(24, FactKind.REBOOTED, "s", device),
        Fact(26, FactKind.SILENT, "s", device),
    ]
    assert kinds(rollout, facts) == [(EvidenceKind.CRASHED, 24), (EvidenceKind.SILENT, 26)]


def test_an_acknowledgement_that_is_repeated_gives_no_second_grace() -> None:
    rollout, device, command = canary()
    facts = [
        Fact(20, FactKind.ACCEPTED, "s", device, command),
        Fact(22, FactKind.INSTALLED, "s", device),
        Fact(23, FactKind.ACCEPTED, "s", device, command),
        Fact(24, FactKind.REBOOTED, "s", device),
    ]
    assert kinds(rollout, facts) == [(EvidenceKind.CRASHED, 24)]


def test_late_facts_are_listed_and_change_no_number() -> None:
    rollout, device, _ = canary()
    kinds(rollout, [], watermark=100)
    before = rollout.gate.e_value_log10()
    rows = rollout.note_late(Fact(50, FactKind.REBOOTED, "s", device))
    assert [(row.evidence.kind, row.evidence.detail) for row in rows] == [(EvidenceKind.LATE, "crashed")]
    assert rollout.gate.e_value_log10() == before
    assert rollout.gate.late == 1
    assert rollout.note_late(Fact(5, FactKind.REBOOTED, "s", device)) == []
    assert rollout.note_late(Fact(50, FactKind.REBOOTED, "s", "stranger")) == []
