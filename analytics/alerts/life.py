"""An alert's life: a pure function of what it was, what is seen, and the time."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ingest.contract.events import AlertState


class Sight(StrEnum):
    """What is known of a condition."""

    HOLDS = "holds"
    OVER = "over"
    UNKNOWN = "unknown"  # nothing is heard: neither that it holds nor that it is over
    WITHDRAWN = "withdrawn"  # nothing will be said of it any more: its rule, device or site is gone


class Change(StrEnum):
    """Why an alert's life went on as it did."""

    NOTHING = "nothing"
    BEGAN = "began"  # seen for the first time; `for` is running
    CEASED = "ceased"  # over before it fired
    UNSEEN = "unseen"  # nothing was heard for too long before it fired
    FIRED = "fired"  # seen for long enough
    FLAPPED = "flapped"  # seen for long enough, and too often lately: it stays until it was over for longer than usual
    MUTED = "muted"  # seen for long enough while something suppresses it: nobody is told
    SUPPRESSED = "suppressed"  # it fires, and something suppresses it now
    UNMUTED = "unmuted"  # nothing suppresses it any more: receivers are told for the first time
    LIFTED = "lifted"  # nothing suppresses it any more: receivers knew of it
    ACKNOWLEDGED = "acknowledged"  # somebody looks after it
    UNACKNOWLEDGED = "unacknowledged"  # nobody does any more
    WENT_STALE = "went_stale"  # it fires, and nothing has been heard for too long: unknown, not resolved
    SEEN_AGAIN = "seen_again"  # something is heard again, and it still holds
    RESOLVED = "resolved"  # over for long enough
    WITHDRAWN = "withdrawn"  # its rule, device or site is gone
    TOLD_AGAIN = "told_again"  # it fires as before, and there is more to say


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule asks, in ms. `stale`: 0 for never.

    An alert flaps when it fires `flaps` times (0: never) in `flap_window`; then it must be over for `flap_quiet`.
    """

    hold: float = 0
    keep: float = 0
    stale: float = 0
    flaps: int = 0
    flap_window: float = 0
    flap_quiet: float = 0


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of an alert at a moment."""

    sight: Sight
    terms: Terms = Terms()
    suppressed: bool = False
    acknowledged: bool = False


class Life(msgspec.Struct, frozen=True):
    """Where an alert stands. Times in ms, 0 when not; `quiet_since`: since when a firing alert is not seen any more.

    `ended_before`: when the life before this one ended. `unknown_since`: since when nothing is heard. `told`: receivers
    know of this life. `fired`: when it fired lately, oldest first, over its lives.
    """

    state: AlertState = AlertState.RESOLVED
    pending_since: int = 0
    starts_at: int = 0
    ends_at: int = 0
    quiet_since: int = 0
    ended_before: int = 0
    unknown_since: int = 0
    told: bool = False
    flapping: bool = False
    fired: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it has fired and has not ended."""
        return bool(self.starts_at and not self.ends_at)

    @property
    def is_still(self) -> bool:
        """Whether time alone changes nothing: it is open, and neither quiet nor unknown."""
        return self.is_open and not self.quiet_since and not self.unknown_since


def decide(last: Life, seen: Observation, now: int) -> tuple[Life, Change]:
    """The next stage of a life and why. Missing data neither fires nor resolves anything.

    `starts_at` is greater than the end of any life before, so that it names this life, also when the clock was set back.
    """
    if last.is_open:
        return _while_open(last, seen, now)
    if seen.sight is Sight.HOLDS:
        return _while_held(last, seen, now)
    if last.state is AlertState.PENDING:
        return _while_not_held(last, seen, now)
    return last, Change.NOTHING


def _while_held(last: Life, seen: Observation, now: int) -> tuple[Life, Change]:
    pending = last.state is AlertState.PENDING
    since = last.pending_since if pending else now
    ended_before = max(last.ended_before, last.ends_at)
    if now - since >= seen.terms.hold:
        return _fire(last, seen, now, since, ended_before)
    waits = Life(state=AlertState.PENDING, pending_since=since, ended_before=ended_before, fired=last.fired)
    return waits, Change.NOTHING if pending else Change.BEGAN


def _while_not_held(last: Life, seen: Observation, now: int) -> tuple[Life, Change]:
    ended = Life(ended_before=last.ended_before, fired=last.fired)
    if seen.sight is not Sight.UNKNOWN:
        return ended, Change.CEASED  # nobody was told, so nobody needs to hear of it
    unknown_since = last.unknown_since or now
    if _is_stale(unknown_since, seen.terms, now):
        return ended, Change.UNSEEN
    return msgspec.structs.replace(last, unknown_since=unknown_since), Change.NOTHING


def _fire(last: Life, seen: Observation, now: int, since: int, ended_before: int) -> tuple[Life, Change]:
    terms = seen.terms
    lately = tuple(at for at in last.fired if now - at < terms.flap_window)
    fired = (*lately, now)[-terms.flaps :] if terms.flaps else ()
    flapping = 0 < terms.flaps <= len(fired)
    life = Life(
        state=AlertState.SUPPRESSED if seen.suppressed else AlertState.FIRING,
        pending_since=since,
        starts_at=max(now, ended_before + 1),
        told=not seen.suppressed,
        flapping=flapping,
        fired=fired,
    )
    spoken = Change.FLAPPED if flapping else Change.FIRED
    return life, Change.MUTED if seen.suppressed else spoken


def _while_open(last: Life, seen: Observation, now: int) -> tuple[Life, Change]:
    if seen.sight is Sight.WITHDRAWN:
        return _end(last, now), Change.WITHDRAWN
    if seen.sight is Sight.OVER:
        quiet_since = last.quiet_since or now
        terms = seen.terms
        if now - quiet_since >= (max(terms.keep, terms.flap_quiet) if last.flapping else terms.keep):
            return msgspec.structs.replace(_end(last, now), quiet_since=quiet_since), Change.RESOLVED
        return _shown(last, _seen(last, quiet_since, 0), seen, now)
    # What is unknown is no quiet either: when it is seen to be over, its time begins anew.
    unknown_since = (last.unknown_since or now) if seen.sight is Sight.UNKNOWN else 0
    return _shown(last, _seen(last, 0, unknown_since), seen, now)


def _seen(last: Life, quiet_since: int, unknown_since: int) -> Life:
    if (last.quiet_since, last.unknown_since) == (quiet_since, unknown_since):
        return last
    return msgspec.structs.replace(last, quiet_since=quiet_since, unknown_since=unknown_since)


def _shown(last: Life, life: Life, seen: Observation, now: int) -> tuple[Life, Change]:
    state = _state(life, seen, now)
    if state is last.state:
        return life, Change.NOTHING
    told = life.told or state is AlertState.FIRING
    return msgspec.structs.replace(life, state=state, told=told), _why(last, state)


def _state(life: Life, seen: Observation, now: int) -> AlertState:
    if seen.suppressed:
        return AlertState.SUPPRESSED
    if seen.acknowledged:
        return AlertState.ACKNOWLEDGED
    # Whoever was not told yet is told before it goes stale.
    stale = life.told and life.unknown_since and _is_stale(life.unknown_since, seen.terms, now)
    return AlertState.STALE if stale else AlertState.FIRING


def _why(last: Life, state: AlertState) -> Change:
    if state is AlertState.SUPPRESSED:
        return Change.SUPPRESSED
    if state is AlertState.ACKNOWLEDGED:
        return Change.ACKNOWLEDGED
    if last.state is AlertState.SUPPRESSED:
        return Change.LIFTED if last.told else Change.UNMUTED
    if last.state is AlertState.ACKNOWLEDGED:
        return Change.UNACKNOWLEDGED if last.told else Change.UNMUTED
    return Change.WENT_STALE if state is AlertState.STALE else Change.SEEN_AGAIN


def _end(last: Life, now: int) -> Life:
    return msgspec.structs.replace(last, state=AlertState.RESOLVED, ends_at=max(now, last.starts_at))


def _is_stale(unknown_since: int, terms: Terms, now: int) -> bool:
    return 0 < terms.stale <= now - unknown_since
