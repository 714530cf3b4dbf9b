"""An alert's life: a pure function of what it was, what is seen, and the time."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AlertState

if TYPE_CHECKING:
    from analytics.alerts.config import RuleConfig


class Change(StrEnum):
    """Why an alert's life went on as it did."""

    NOTHING = "nothing"
    BEGAN = "began"  # seen for the first time; `for_s` is running
    FIRED = "fired"  # seen for long enough
    CEASED = "ceased"  # over before it fired
    RESOLVED = "resolved"  # over for long enough


class Life(msgspec.Struct, frozen=True):
    """Where an alert stands. Times in ms, 0 when not; `quiet_since`: since when a firing alert is not seen any more.

    `ended_before`: when the life before this one ended.
    """

    state: AlertState = AlertState.RESOLVED
    pending_since: int = 0
    starts_at: int = 0
    ends_at: int = 0
    quiet_since: int = 0
    ended_before: int = 0


def decide(last: Life, *, active: bool, now: int, rule: RuleConfig) -> tuple[Life, Change]:
    """The next stage of a life and why. `active`: the condition holds as far as is known.

    Missing data is no argument here: a condition stays as it was last seen until something says otherwise.
    `starts_at` is greater than the end of any life before, so that it names this life, also when the clock was set back.
    """
    if last.state is AlertState.FIRING:
        return _while_firing(last, active=active, now=now, rule=rule)
    ended_before = max(last.ended_before, last.ends_at)
    if not active:
        # Over before it fired: nobody was told, so nobody needs to hear of it.
        ceased = last.state is AlertState.PENDING
        return (Life(ended_before=ended_before), Change.CEASED) if ceased else (last, Change.NOTHING)
    since = last.pending_since if last.state is AlertState.PENDING else now
    if now - since >= rule.for_s * 1000:
        starts_at = max(now, ended_before + 1)
        return Life(state=AlertState.FIRING, pending_since=since, starts_at=starts_at), Change.FIRED
    began = Change.NOTHING if last.state is AlertState.PENDING else Change.BEGAN
    return Life(state=AlertState.PENDING, pending_since=since, ended_before=ended_before), began


def _while_firing(last: Life, *, active: bool, now: int, rule: RuleConfig) -> tuple[Life, Change]:
    if active:
        # Seen again before it was over for long enough: it has fired all the while.
        return (msgspec.structs.replace(last, quiet_since=0) if last.quiet_since else last), Change.NOTHING
    quiet = last.quiet_since or now
    if now - quiet >= rule.keep_firing_s * 1000:
        ends_at = max(now, last.starts_at)
        ended = msgspec.structs.replace(last, state=AlertState.RESOLVED, ends_at=ends_at, quiet_since=quiet)
        return ended, Change.RESOLVED
    return msgspec.structs.replace(last, quiet_since=quiet), Change.NOTHING
