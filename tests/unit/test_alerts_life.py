"""An alert's life, decision by decision, and against an oracle that looks at the whole history anew each time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts.config import RuleConfig
from analytics.alerts.life import Change, Life, decide
from ingest.contract.events import AlertState

T0 = 1_000_000


class Told(NamedTuple):
    at: int
    change: Change
    life: Life


def lived(history: list[tuple[int, bool]], rule: RuleConfig) -> list[Told]:
    life, told = Life(), []
    for at, active in history:
        life, change = decide(life, active=active, now=at, rule=rule)
        told.append(Told(at, change, life))
    return told


def naive(history: list[tuple[int, bool]], rule: RuleConfig) -> list[Change]:
    """For each moment: how long has it been as it is now?"""
    changes, firing = [], False
    for index, (at, active) in enumerate(history):
        first = index
        while first > 0 and history[first - 1][1] is active:
            first -= 1
        lasted = at - history[first][0]
        change = Change.NOTHING
        if firing and not active and lasted >= rule.keep_firing_s * 1000:
            firing, change = False, Change.RESOLVED
        elif not firing and active and lasted >= rule.for_s * 1000:
            firing, change = True, Change.FIRED
        elif not firing and active and first == index:
            change = Change.BEGAN
        elif not firing and not active and index and history[index - 1][1]:
            change = Change.CEASED
        changes.append(change)
    return changes


def test_without_waiting_it_fires_and_resolves_at_once() -> None:
    rule = RuleConfig()
    told = lived([(T0, True), (T0 + 5, True), (T0 + 9, False), (T0 + 12, False)], rule)
    assert [t.change for t in told] == [Change.FIRED, Change.NOTHING, Change.RESOLVED, Change.NOTHING]
    ended = told[2].life
    assert (ended.state, ended.starts_at, ended.ends_at) == (AlertState.RESOLVED, T0, T0 + 9)


def test_what_is_over_before_it_fired_was_never_told() -> None:
    told = lived([(T0, True), (T0 + 999, True), (T0 + 1000, False)], RuleConfig(for_s=1.0))
    assert [t.change for t in told] == [Change.BEGAN, Change.NOTHING, Change.CEASED]
    assert told[1].life.pending_since == T0
    assert told[2].life.starts_at == 0


def test_it_fires_when_it_has_lasted_and_resolves_when_it_was_over_for_long_enough() -> None:
    rule = RuleConfig(for_s=1.0, keep_firing_s=2.0)
    history = [(T0, True), (T0 + 1000, True), (T0 + 2000, False), (T0 + 3999, False), (T0 + 4000, False)]
    told = lived(history, rule)
    assert [t.change for t in told] == [Change.BEGAN, Change.FIRED, Change.NOTHING, Change.NOTHING, Change.RESOLVED]
    assert told[1].life.starts_at == T0 + 1000


def test_seen_again_while_it_is_kept_it_has_fired_all_the_while() -> None:
    rule = RuleConfig(keep_firing_s=2.0)
    history = [(T0, True), (T0 + 1000, False), (T0 + 2500, True), (T0 + 4000, False), (T0 + 5900, False)]
    told = lived(history, rule)
    assert [t.change for t in told] == [Change.FIRED] + [Change.NOTHING] * 4
    assert decide(told[-1].life, active=False, now=T0 + 6000, rule=rule)[1] is Change.RESOLVED


def test_two_lives_in_one_millisecond_have_two_names() -> None:
    told = lived([(T0, True), (T0, False), (T0, True), (T0, False)], RuleConfig())
    fired = [t.life.starts_at for t in told if t.change is Change.FIRED]
    assert fired == [T0, T0 + 1]
    assert told[-1].life.ends_at == T0 + 1


durations = st.sampled_from([0.0, 0.001, 0.5, 1.0, 3.0])
rules = st.builds(RuleConfig, for_s=durations, keep_firing_s=durations)


def histories(least_step: int) -> st.SearchStrategy[list[tuple[int, bool]]]:
    steps = st.lists(st.tuples(st.integers(least_step, 2000), st.booleans()), max_size=60)
    return steps.map(
        lambda pairs: [(T0 + sum(step for step, _ in pairs[: n + 1]), a) for n, (_, a) in enumerate(pairs)]
    )


@given(histories(0), rules)
def test_it_does_what_the_whole_history_says(history: list[tuple[int, bool]], rule: RuleConfig) -> None:
    assert [told.change for told in lived(history, rule)] == naive(history, rule)


@given(histories(-1500), rules)
def test_whatever_the_clock_does_lives_are_told_in_pairs_and_named_apart(
    history: list[tuple[int, bool]], rule: RuleConfig
) -> None:
    spoken = [told for told in lived(history, rule) if told.change in {Change.FIRED, Change.RESOLVED}]
    assert [told.change for told in spoken] == ([Change.FIRED, Change.RESOLVED] * len(spoken))[: len(spoken)]
    lives = [told.life for told in spoken if told.change is Change.FIRED]
    assert all(before.starts_at < after.starts_at for before, after in pairwise(lives))
    ended = [told.life for told in spoken if told.change is Change.RESOLVED]
    assert all(life.ends_at >= life.starts_at for life in ended)
