"""When a cohort's alarm begins and ends: one slot of each of many cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.round import Change
from analytics.detectors.cohort_shift import BEYOND_USUAL, Chart, When, common, step
from analytics.detectors.hysteresis import advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detectors.cohort_shift import Common, Sites, Stepped

    Floats = NDArray[np.float64]

NONE, ON, ACCEPTED = np.arange(3, dtype=np.uint8)
BACK = 1.0
"""A slot is calm when the shift is not farther than so many units on the side of the alarm."""
HOLD = 0.25
"""From so much of what it takes on a run of sums is learned only when it has ended without an alarm."""
PATIENCE_SLOTS = 24
"""No alarm is taken for the new normal before it has lasted so many slots."""
RELEARN_SLOTS = 512
"""What was accepted and has not calmed down after so many is learned anew."""
_SAID = [np.uint8(change) for change in (Change.ENTERED, Change.CALMED, Change.NEW_NORMAL)]
_RUN = ("above", "below", "run", "run_slots", "run_squares", "run_echoes")


class Alarm(NamedTuple):
    """Of each cohort, shape (cohorts,): `state` u1 (`NONE`, `ON`, `ACCEPTED`), `calm` u1 slots in a row, `side` f8 (1 or -1).

    `since` i8 (ms): when its sums began to rise (Page's estimate of when it changed); `slots` i8 since it was accepted.
    """

    state: NDArray[np.uint8]
    calm: NDArray[np.uint8]
    side: Floats
    since: NDArray[np.int64]
    slots: NDArray[np.int64]


class Slot(NamedTuple):
    """What is looked at: `at` (ms) its end, `enter` the sum that it takes, which cohorts `speak`, patience in ms."""

    at: int
    hour: int
    enter: float
    speak: NDArray[np.bool_]
    patience_ms: int


class Decided(NamedTuple):
    """After a slot, shape (cohorts,): chart and alarms; `change` u1; `share` of the sum that it takes; what it looked like."""

    chart: Chart
    alarm: Alarm
    change: NDArray[np.uint8]
    share: Floats
    now: Common
    usual: Floats
    unit: Floats


def no_alarms(cohorts: int) -> Alarm:
    """Of so many cohorts."""
    return Alarm(*(np.zeros(cohorts, dtype) for dtype in ("u1", "u1", "f8", "i8", "i8")))


def decide(known: Chart, alarm: Alarm, sites: Sites, slot: Slot) -> Decided:
    """Look at a slot of each cohort. What lasts beyond patience is accepted: nothing more is said before it has calmed down."""
    now, hold = common(sites, len(known.seen)), np.where(slot.speak, HOLD * slot.enter, np.inf)
    stepped = step(known, now, When(slot.hour, alarm.state == NONE, hold))
    share = stepped.highest / np.maximum(slot.enter, BEYOND_USUAL * known.peak)
    after, change = _advance(alarm, stepped, slot, share)
    # What would have been an alarm, had it been seen for long enough, is part of the normal.
    early = (alarm.state == NONE) & ~slot.speak & (share >= 1.0)
    chart = stepped.chart._replace(peak=np.where(early, stepped.chart.run, stepped.chart.peak))
    chart = _without(chart, early | (after.state == NONE) & (alarm.state != NONE), _RUN)
    chart = _without(chart, alarm.slots >= RELEARN_SLOTS, Chart._fields)
    return Decided(chart, after, change, share, now, stepped.usual, stepped.unit)


def _advance(alarm: Alarm, stepped: Stepped, slot: Slot, share: Floats) -> tuple[Alarm, NDArray[np.uint8]]:
    was_on, at_rest = alarm.state == ON, alarm.state == NONE
    side = np.where(at_rest, np.where(stepped.chart.above >= stepped.chart.below, 1.0, -1.0), alarm.side)
    hits, calms = slot.speak & (share >= 1.0), stepped.distance * side < BACK
    changes = advance((~at_rest).astype(np.uint8), alarm.calm, hits, calms)
    lasting = was_on & ~changes.left & (slot.at - alarm.since >= slot.patience_ms)
    change = np.select([changes.entered, changes.left & was_on, lasting], _SAID, np.uint8(Change.NOTHING))
    anew = alarm.slots >= RELEARN_SLOTS
    state = np.select([changes.entered, changes.left | anew, lasting], [ON, NONE, ACCEPTED], alarm.state)
    after = Alarm(
        state=state,
        calm=changes.calm,
        side=side,
        since=np.where(at_rest & (stepped.highest == 0.0) | (state == NONE) & ~at_rest, slot.at, alarm.since),
        slots=np.where(state == ACCEPTED, alarm.slots + 1, 0),
    )
    return after, change


def _without(chart: Chart, cohorts: NDArray[np.bool_], names: tuple[str, ...]) -> Chart:
    """Nothing of these columns is remembered of these cohorts."""
    return chart._replace(**{name: np.where(cohorts, 0.0, getattr(chart, name)) for name in names})
