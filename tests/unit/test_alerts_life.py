"""An alert's life, decision by decision, and against an oracle that looks at the whole history anew each time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.alerts.life import Change, Life, Observation, Sight, Terms, decide
from ingest.contract.events import AlertState
from tests.examples import examples

T0 = 1_000_000
HOLDS, OVER, UNKNOWN, WITHDRAWN = Sight
FIRING, STALE, SUPPRESSED, RESOLVED = AlertState.FIRING, AlertState.STALE, AlertState.SUPPRESSED, AlertState.RESOLVED
ACKNOWLEDGED = AlertState.ACKNOWLEDGED


class Seen(NamedTuple):
    at: int
    sight: Sight
    suppressed: bool = False
    acknowledged: bool = False


class Told(NamedTuple):
    at: int
    change: Change
    life: Life


def lived(history: list[Seen], terms: Terms = Terms()) -> list[Told]:  # noqa: B008 - frozen
    life, told = Life(), []
    for at, sight, suppressed, acknowledged in history:
        seen = Observation(sight=sight, terms=terms, suppressed=suppressed, acknowledged=acknowledged)
        life, change = decide(life, seen, at)
        told.append(Told(at, change, life))
    return told


def changes(history: list[Seen], terms: Terms = Terms()) -> list[Change]:  # noqa: B008 - frozen
    return [told.change for told in lived(history, terms)]


class Naive:
    """For each moment: how long has it been as it is now, since the last end? It remembers states and ends only."""

    def __init__(self, history: list[Seen], terms: Terms) -> None:
        self.history, self.terms = history, terms
        self.states: list[AlertState | None] = []
        self.begun = 0
        self.fired: list[int] = []
        self.fired_at: int | None = None
        self.told = self.flapping = False

    def step(self) -> AlertState | None:
        """The state after the next moment; None when there is no alert."""
        index = len(self.states)
        self.states.append(self._open(index) if self.fired_at is not None else self._waiting(index))
        if self.states[-1] in {None, RESOLVED}:
            self.begun, self.fired_at, self.told, self.flapping = index + 1, None, False, False
        self.told |= self.states[-1] is FIRING
        return self.states[-1]

    def _waiting(self, index: int) -> AlertState | None:
        now, seen = self.history[index], self.history[self.begun : index + 1]
        first = next((one for one in seen if one.sight is HOLDS), None)
        if first is None or now.sight in {OVER, WITHDRAWN} or self._is_stale(index):
            return None
        if now.sight is UNKNOWN or now.at - first.at < self.terms.hold:
            return AlertState.PENDING
        self.fired = [at for at in self.fired if now.at - at < self.terms.flap_window] + [now.at]
        self.flapping = 0 < self.terms.flaps <= len(self.fired)
        self.fired_at = index
        return SUPPRESSED if now.suppressed else FIRING

    def _open(self, index: int) -> AlertState:
        now = self.history[index]
        keep = max(self.terms.keep, self.terms.flap_quiet if self.flapping else 0)
        if now.sight is WITHDRAWN or (now.sight is OVER and self._lasts(index) >= keep):
            return RESOLVED
        if now.suppressed:
            return SUPPRESSED
        if now.acknowledged:
            return ACKNOWLEDGED
        return STALE if self.told and self._is_stale(index) else FIRING

    def _lasts(self, index: int) -> int:
        first = index
        least = self.fired_at + 1 if self.fired_at is not None else self.begun
        while first > least and self.history[first - 1].sight is self.history[index].sight:
            first -= 1
        return self.history[index].at - self.history[first].at

    def _is_stale(self, index: int) -> bool:
        unknown = self.history[index].sight is UNKNOWN
        return unknown and 0 < self.terms.stale <= self._lasts(index)


def test_without_waiting_it_fires_and_resolves_at_once() -> None:
    told = lived([Seen(T0, HOLDS), Seen(T0 + 5, HOLDS), Seen(T0 + 9, OVER), Seen(T0 + 12, OVER)])
    assert [t.change for t in told] == [Change.FIRED, Change.NOTHING, Change.RESOLVED, Change.NOTHING]
    ended = told[2].life
    assert (ended.state, ended.starts_at, ended.ends_at) == (RESOLVED, T0, T0 + 9)


def test_what_is_over_before_it_fired_was_never_told() -> None:
    told = lived([Seen(T0, HOLDS), Seen(T0 + 999, HOLDS), Seen(T0 + 1000, OVER)], Terms(hold=1000))
    assert [t.change for t in told] == [Change.BEGAN, Change.NOTHING, Change.CEASED]
    assert told[1].life.pending_since == T0
    assert (told[2].life.starts_at, told[2].life.told) == (0, False)


def test_it_fires_when_it_has_lasted_and_resolves_when_it_was_over_for_long_enough() -> None:
    history = [Seen(T0, HOLDS), Seen(T0 + 1000, HOLDS), Seen(T0 + 2000, OVER), Seen(T0 + 3999, OVER)]
    told = lived([*history, Seen(T0 + 4000, OVER)], Terms(hold=1000, keep=2000))
    assert [t.change for t in told] == [Change.BEGAN, Change.FIRED, Change.NOTHING, Change.NOTHING, Change.RESOLVED]
    assert told[1].life.starts_at == T0 + 1000


def test_seen_again_while_it_is_kept_it_has_fired_all_the_while() -> None:
    history = [Seen(T0, HOLDS), Seen(T0 + 1000, OVER), Seen(T0 + 2500, HOLDS), Seen(T0 + 4000, OVER)]
    told = changes([*history, Seen(T0 + 5900, OVER), Seen(T0 + 6000, OVER)], Terms(keep=2000))
    assert told == [Change.FIRED] + [Change.NOTHING] * 4 + [Change.RESOLVED]


def test_two_lives_in_one_millisecond_have_two_names() -> None:
    told = lived([Seen(T0, HOLDS), Seen(T0, OVER), Seen(T0, HOLDS), Seen(T0, OVER)])
    assert [t.life.starts_at for t in told if t.change is Change.FIRED] == [T0, T0 + 1]
    assert told[-1].life.ends_at == T0 + 1


def test_missing_data_is_unknown_and_never_resolved() -> None:
    history = [Seen(T0 + 1000 * n, UNKNOWN) for n in range(1, 5)]
    told = lived([Seen(T0, HOLDS), *history, Seen(T0 + 9000, OVER)], Terms(stale=3000))
    assert [t.change for t in told] == [
        Change.FIRED,
        Change.NOTHING,
        Change.NOTHING,
        Change.NOTHING,
        Change.WENT_STALE,
        Change.RESOLVED,
    ]
    assert (told[4].life.state, told[4].life.ends_at) == (STALE, 0)
    forever = lived([Seen(T0, HOLDS), *(Seen(T0 + 10**9 * n, UNKNOWN) for n in range(1, 9))])
    assert forever[-1].life.state is FIRING


def test_time_in_which_nothing_was_heard_does_not_make_it_over_for_long_enough() -> None:
    history = [Seen(T0, HOLDS), Seen(T0 + 1000, OVER), Seen(T0 + 2000, UNKNOWN), Seen(T0 + 5000, OVER)]
    told = changes([*history, Seen(T0 + 6900, OVER), Seen(T0 + 7000, OVER)], Terms(keep=2000))
    assert told == [Change.FIRED] + [Change.NOTHING] * 4 + [Change.RESOLVED]


def test_what_nobody_hears_of_does_not_fire_and_is_given_up() -> None:
    history = [Seen(T0, HOLDS), Seen(T0 + 1000, UNKNOWN), Seen(T0 + 2000, UNKNOWN), Seen(T0 + 5000, UNKNOWN)]
    assert changes(history, Terms(hold=1500, stale=4000)) == [
        Change.BEGAN,
        Change.NOTHING,
        Change.NOTHING,
        Change.UNSEEN,
    ]


def test_under_a_silence_nobody_is_told_and_of_what_began_before_the_end_is_told() -> None:
    muted = lived([Seen(T0, HOLDS, suppressed=True), Seen(T0 + 1, OVER, suppressed=True)])
    assert [(t.change, t.life.told) for t in muted] == [(Change.MUTED, False), (Change.RESOLVED, False)]
    later = lived([Seen(T0, HOLDS, suppressed=True), Seen(T0 + 9, HOLDS), Seen(T0 + 12, OVER)])
    assert [(t.change, t.life.told) for t in later] == [
        (Change.MUTED, False),
        (Change.UNMUTED, True),
        (Change.RESOLVED, True),
    ]
    during = lived([Seen(T0, HOLDS), Seen(T0 + 1, HOLDS, suppressed=True), Seen(T0 + 2, OVER, suppressed=True)])
    assert [(t.change, t.life.told) for t in during] == [
        (Change.FIRED, True),
        (Change.SUPPRESSED, True),
        (Change.RESOLVED, True),
    ]


def test_somebody_looks_after_it_and_does_no_more() -> None:
    history = [Seen(T0, HOLDS), Seen(T0 + 1, HOLDS, acknowledged=True), Seen(T0 + 2, HOLDS)]
    assert changes([*history, Seen(T0 + 3, OVER)]) == [
        Change.FIRED,
        Change.ACKNOWLEDGED,
        Change.UNACKNOWLEDGED,
        Change.RESOLVED,
    ]


def test_what_flaps_stays_until_it_was_over_for_longer_and_says_so() -> None:
    terms = Terms(flaps=3, flap_window=1000, flap_quiet=500)
    history = [Seen(T0 + 10 * n, HOLDS if n % 2 == 0 else OVER) for n in range(8)]
    told = lived([*history, Seen(T0 + 569, OVER), Seen(T0 + 570, OVER), Seen(T0 + 580, HOLDS)], terms)
    once = [Change.FIRED, Change.RESOLVED]
    assert [t.change for t in told] == [
        *once * 2,
        Change.FLAPPED,
        *[Change.NOTHING] * 4,
        Change.RESOLVED,
        Change.FLAPPED,
    ]
    assert [t.life.flapping for t in told[3:5]] == [False, True]
    calm = lived([*history[:4], Seen(T0 + 2000, HOLDS), Seen(T0 + 2001, OVER)], terms)
    assert [t.change for t in calm] == once * 3


def test_what_is_withdrawn_ends_at_once_however_long_it_would_be_kept() -> None:
    assert changes([Seen(T0, HOLDS), Seen(T0 + 1, WITHDRAWN)], Terms(keep=9000)) == [Change.FIRED, Change.WITHDRAWN]


durations = st.sampled_from([0, 1, 500, 1000, 3000])
terms = st.builds(
    Terms,
    hold=durations,
    keep=durations,
    stale=durations,
    flaps=st.sampled_from([0, 2, 3]),
    flap_window=st.sampled_from([1000, 20_000]),
    flap_quiet=durations,
)
sights = st.sampled_from([HOLDS, HOLDS, HOLDS, OVER, OVER, UNKNOWN, WITHDRAWN])
rarely = st.sampled_from([False, False, False, True])


def histories(least_step: int) -> st.SearchStrategy[list[Seen]]:
    steps = st.lists(st.tuples(st.integers(least_step, 2000), sights, rarely, rarely), max_size=60)

    def placed(steps: list[tuple[int, Sight, bool, bool]]) -> list[Seen]:
        at, history = T0, []
        for step, *rest in steps:
            at += step
            history.append(Seen(at, *rest))
        return history

    return steps.map(placed)


@settings(max_examples=examples(300), deadline=None)
@given(histories(0), terms)
def test_it_does_what_the_whole_history_says(history: list[Seen], terms: Terms) -> None:
    naive = Naive(history, terms)
    for told in lived(history, terms):
        expected = naive.step()
        assert (told.life.state if told.life.starts_at or told.life.pending_since else None) in {
            expected,
            RESOLVED if expected is None else expected,
        }
        assert told.life.told or expected is not FIRING


@settings(max_examples=examples(200), deadline=None)
@given(histories(0), terms)
def test_every_change_of_state_has_its_reason(history: list[Seen], terms: Terms) -> None:
    before = Life()
    for told in lived(history, terms):
        changed = (told.life.state, told.life.starts_at) != (before.state, before.starts_at)
        assert (told.change is not Change.NOTHING) is changed, (before, told)
        before = told.life


@settings(max_examples=examples(200), deadline=None)
@given(histories(-1500), terms)
def test_whatever_the_clock_does_lives_are_told_in_pairs_and_named_apart(history: list[Seen], terms: Terms) -> None:
    all_told = lived(history, terms)
    before = [Life(), *(told.life for told in all_told[:-1])]
    opened = [t.life for t, b in zip(all_told, before, strict=False) if t.life.is_open and not b.is_open]
    ended = [t.life for t, b in zip(all_told, before, strict=False) if b.is_open and not t.life.is_open]
    assert len(opened) - len(ended) in {0, 1}
    assert all(first.ends_at < second.starts_at for first, second in zip(ended, opened[1:], strict=False))
    assert all(first.starts_at < second.starts_at for first, second in pairwise(opened))
    assert all(life.ends_at >= life.starts_at for life in ended)
