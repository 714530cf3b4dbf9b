"""What people decide goes before what the gate says; and a rollback goes down in waves, which people and the kill switch hold back."""

from __future__ import annotations

import msgspec
import pytest

from analytics.rollback import tracker
from analytics.rollouts.replay import differences, recorded_evidence, reproduce
from ingest.contract.events import (
    AuditEntry,
    Evidence,
    Intervention,
    Outcome,
    RollbackMode,
    RollbackPhase,
    RollbackStatus,
    Verb,
)
from ingest.contract.topics import AUDIT, EVIDENCE, ROLLBACKS
from tests.gate_stage_world import CONFIG, World
from tests.gate_world import OLD, T0, Reader, commands_in, plan_of, plan_record


def words(verb: Verb, *people: str, at: int) -> list[Intervention]:
    return [Intervention(verb=verb, by=one, at=at, reason="smoke in hall 3") for one in people]


@pytest.mark.parametrize(
    ("mode", "needed"), [(RollbackMode.OBSERVE, 1), (RollbackMode.APPROVE, 1), (RollbackMode.AUTOMATIC, 2)]
)
def test_people_abort_whatever_the_gate_says_two_of_them_in_mode_automatic(mode: RollbackMode, needed: int) -> None:
    world = World()
    plan = plan_of(mode=mode)
    installs = world.start(plan)
    world.install(installs)
    for people in (["ann"], ["ann", "bob"])[:needed]:
        said = words(Verb.ABORT, *people, at=world.now)
        world.take(plan_record(msgspec.structs.replace(plan, interventions=said)))
        world.pass_time(1)
        begun = bool(world.of(ROLLBACKS, RollbackStatus))
        assert begun is (len(people) == needed)
        assert world.verdict().people == [f"{one} says abort: smoke in hall 3" for one in people]
    verdict = world.verdict()
    assert (verdict.verdict, verdict.forced, verdict.score) == (Outcome.FAIL, "abort", 0.0)
    assert verdict.reason.startswith("ann says abort: smoke in hall 3")
    assert "the gate itself says inconclusive" in verdict.reason
    back = [c for c in commands_in(world.appended, world.key) if c.version == OLD]
    assert {c.device for c in back} == {c.device for c in installs}
    rows = len(world.of(EVIDENCE, Evidence))
    world.crash(installs)
    assert len(world.of(EVIDENCE, Evidence)) == rows, "who goes back says nothing about the release"
    records = Reader().records([o for o in world.appended if o.topic == EVIDENCE], T0)
    assert differences(verdict, reproduce(plan, recorded_evidence("fw-2.3", records), verdict)) == {}
    said = [e for e in world.of(AUDIT, AuditEntry) if e.kind == "said"]
    assert said[-1].what == "abort: smoke in hall 3"


def test_people_override_a_fail_before_it_leads_to_anything_and_not_for_a_day_that_is_over() -> None:
    world = World()
    plan = plan_of(mode=RollbackMode.AUTOMATIC)
    installs = world.start(plan)
    world.install(installs)
    old = words(Verb.OVERRIDE, "ann", at=world.now - 90_000_000) + words(Verb.OVERRIDE, "bob", at=world.now)
    world.take(plan_record(msgspec.structs.replace(plan, interventions=old)))
    assert world.verdict().forced == ""
    both = words(Verb.OVERRIDE, "ann", "bob", at=world.now)
    world.take(plan_record(msgspec.structs.replace(plan, interventions=both)))
    world.restart()
    world.crash(installs)
    verdict = world.verdict()
    assert (verdict.verdict, verdict.forced, verdict.score) == (Outcome.PASS, "override", 100.0)
    assert "the gate itself says fail" in verdict.reason
    assert world.of(ROLLBACKS, RollbackStatus) == []
    later = both + words(Verb.ABORT, "ann", "bob", at=world.now + 1)
    world.take(plan_record(msgspec.structs.replace(plan, interventions=later)))
    assert world.verdict().forced == "abort"
    assert world.status().phase is RollbackPhase.COMMANDED


def test_commands_go_down_in_waves_the_worst_hit_first_and_stop_when_people_say_so() -> None:
    world = World()
    world.config = msgspec.structs.replace(CONFIG, rollback_wave=5, rollback_wave_s=30.0)
    world.restart()
    plan = plan_of()
    installs = world.start(plan)
    world.install(installs)
    before = len(world.appended)
    crashed = installs[4:]
    world.crash(crashed)

    def back() -> list[str]:
        return [c.device for c in commands_in(world.appended[before:], world.key)]

    assert len(back()) == 5
    assert set(back()) <= {c.device for c in crashed}
    assert len(world.status().commanded) == 12
    world.pass_time(5)
    assert len(back()) == 5
    world.restart()
    world.pass_time(30)
    assert len(back()) == 10
    world.halted = True
    world.pass_time(60)
    assert len(back()) == 10
    world.halted = False
    said = words(Verb.OVERRIDE, "ann", "bob", at=world.now)
    world.take(plan_record(msgspec.structs.replace(plan, interventions=said)))
    world.pass_time(60)
    assert len(back()) == 10
    said = words(Verb.ABORT, "ann", "bob", at=world.now)
    world.take(plan_record(msgspec.structs.replace(plan, interventions=said)))
    world.pass_time(60)
    assert sorted(back()) == sorted(c.device for c in installs)


def test_a_wave_is_signed_and_saved_part_by_part_whatever_happens_between_two_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "MOST_OF_A_LOOK", 5)
    world = World()
    world.config = msgspec.structs.replace(CONFIG, rollback_wave=0)
    world.restart()
    installs = world.start()
    world.install(installs)
    before = len(world.appended)

    def back() -> list[str]:
        return [c.device for c in commands_in(world.appended[before:], world.key)]

    world.halted = True
    world.crash(installs)
    assert back() == []
    world.halted = False
    result = world.step_alone()
    assert (len(back()), result.more) == (5, True)
    world.halted = True  # the kill switch stops a wave, too; nobody need look again at once
    assert (world.step_alone().more, len(back())) == (False, 5)
    world.halted = False
    world.restart()
    assert (world.step_alone().more, len(back())) == (True, 10)
    assert (world.step_alone().more, len(back())) == (False, 12)
    assert (world.step_alone().more, sorted(back())) == (False, sorted(c.device for c in installs))
