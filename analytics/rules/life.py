"""A rule's state for many series at once: `for`, hysteresis and `keep_firing_for` in event time, as two columns."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

REMIND_MS = 600_000
"""What holds is said again so often: whoever forgot it hears of it."""


class Stage(IntEnum):
    """Where a series stands with a rule."""

    IDLE = 0
    PENDING = 1
    FIRING = 2
    QUIET = 3  # over, and not yet for `keep_firing_for`


UNKNOWN = np.uint8(4)
"""Added to the stage while nothing is heard of the series."""
_STAGE = np.uint8(3)
_IDLE, _PENDING, _FIRING, _QUIET = (np.uint8(stage.value) for stage in Stage)


class Said(IntEnum):
    """What is said of a row."""

    NOTHING = 0
    HOLDS = 1
    OVER = 2
    UNKNOWN = 3
    WITHDRAWN = 4


class Spans(NamedTuple):
    """`for` and `keep_firing_for` in ms."""

    hold: int = 0
    keep: int = 0


class Seen(NamedTuple):
    """One window of each of distinct series, shape (rows,) each, that ends at `end` (ms).

    `enter`: the condition holds; `leave`: it is over; with neither it stays as it was. `watched`: the rule is about this row;
    None when it is about all of them. `value`: what was judged, if that may be no number: such a row is as if it were not there.
    """

    series: NDArray[np.int32]
    end: NDArray[np.int64]
    enter: NDArray[np.bool_]
    leave: NDArray[np.bool_]
    watched: NDArray[np.bool_] | None = None
    value: NDArray[np.float64] | None = None


class Judged(NamedTuple):
    """As in `Seen`."""

    enter: NDArray[np.bool_]
    leave: NDArray[np.bool_]
    watched: NDArray[np.bool_]


class Standing(NamedTuple):
    """Columns of `RuleColumns` for some series."""

    stage: NDArray[np.uint8]
    since: NDArray[np.uint32]


class RuleColumns:
    """`stage` u1 and `since` u4 (ms modulo 2**32: times of up to 30 days are told apart) by series."""

    def __init__(self) -> None:
        self.stage = np.zeros(0, np.uint8)
        self.since = np.zeros(0, np.uint32)
        self.active = 0
        """How many series are not idle."""

    def grow_to(self, size: int) -> None:
        """Room for so many series; fresh ones are idle."""
        if size > len(self.stage):
            room = max(size, 2 * len(self.stage)) - len(self.stage)
            self.stage = np.concatenate([self.stage, np.zeros(room, np.uint8)])
            self.since = np.concatenate([self.since, np.zeros(room, np.uint32)])

    def keep(self, kept: NDArray[np.int64]) -> None:
        """Only these series go on, under new numbers."""
        self.stage, self.since = self.stage[kept], self.since[kept]
        self.active = int(np.count_nonzero(self.stage))

    def advance(self, seen: Seen, spans: Spans) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Judge one window of each series: the rows of which something is said, and what (`Said`), shape (changes,) each."""
        # Nearly all rows are idle and stay so: only the others are looked at closely.
        maybe = seen.enter if seen.watched is None else seen.enter & seen.watched
        hot = np.flatnonzero(maybe | (self.stage[seen.series] != _IDLE) if self.active else maybe)
        if seen.value is not None:
            hot = hot[np.isfinite(seen.value[hot])]
        if not hot.size:
            return hot, np.empty(0, np.uint8)
        at = seen.series[hot]
        was = Standing(self.stage[at], self.since[at])
        watched = np.ones(len(hot), np.bool_) if seen.watched is None else seen.watched[hot]
        now = seen.end[hot].astype(np.uint32)
        then, said = step(was, now, Judged(seen.enter[hot], seen.leave[hot], watched), spans)
        self.stage[at], self.since[at] = then
        self.active += int(np.count_nonzero(then.stage)) - int(np.count_nonzero(was.stage))
        spoken = said != Said.NOTHING
        return hot[spoken], said[spoken]

    def lose(self, series: NDArray[np.int64]) -> NDArray[np.int64]:
        """Nothing is heard of these any more: those that fire and of which this is news."""
        stage = self.stage[series]
        news = series[(stage >= Stage.FIRING) & (stage < UNKNOWN)]
        self.stage[news] |= UNKNOWN
        return news


def step(was: Standing, now: NDArray[np.uint32], judged: Judged, spans: Spans) -> tuple[Standing, NDArray[np.uint8]]:
    """Where series stand after a window that ends at `now` (ms modulo 2**32), and what is said of each, shape (rows,)."""
    stage, unknown, lasted = was.stage & _STAGE, was.stage >= UNKNOWN, now - was.since
    idle, pending, firing, quiet = (stage == one for one in (_IDLE, _PENDING, _FIRING, _QUIET))
    holds = judged.watched & (judged.enter | ((pending | firing) & ~judged.leave))
    out = judged.watched & ~holds
    begins = holds & idle
    fires = (begins & (spans.hold == 0)) | (holds & pending & (lasted >= spans.hold))
    again = holds & firing & (unknown | (lasted >= REMIND_MS))
    back = holds & quiet
    # Time in which nothing was heard is no quiet time.
    quietens = out & (firing | (quiet & unknown))
    over = (quietens & (spans.keep == 0)) | (out & quiet & ~unknown & (lasted >= spans.keep))
    withdrawn = ~judged.watched & (firing | quiet)
    ends = over | withdrawn | (pending & ~holds)
    moved = begins | fires | again | back | quietens
    after, said = stage.copy(), np.zeros(len(stage), np.uint8)
    for chosen, then in ((quietens, _QUIET), (begins, _PENDING), (fires | back | again, _FIRING), (ends, _IDLE)):
        after[chosen] = then
    said[fires | again | (back & unknown)] = Said.HOLDS
    said[over], said[withdrawn] = Said.OVER, Said.WITHDRAWN
    return Standing(after, np.where(moved, now, was.since)), said
