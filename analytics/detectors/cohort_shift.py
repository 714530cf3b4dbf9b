"""A cohort against its own past: have like devices of many sites shifted together, though none of them stands out?

The unit is the site, since what devices of one site suffer together is no independent evidence: a cohort's shift is the median
over sites of each site's mean distance, which up to half of the sites cannot move however far they are. It is measured from the
cohort's usual one, in the greatest of three units: how much it varied in time (what all sites share: a day, a heat wave), its error
from the spread between sites and between devices, and `LEAST_UNIT`, below which a shift does not matter. Two cumulative sums
(Page 1954) gather what is beyond half a unit; no slot counts more than `CLIP` units, so that no single moment is enough. How high
they come by chance is Siegmund's approximation (1985, Sequential Analysis, 2.4). Nothing is learned in alarms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SLOT_WINDOWS = 32
"""A slot: series say where they are once in so many windows, by means that hardly remember the slot before (see `drift`)."""
REFERENCE = 0.5
"""Of a unit: what a slot must exceed to be evidence."""
CLIP = 4.0
LEAST_UNIT = 0.1
"""Of the devices' own scales."""
MEMORY = 400.0
"""Slots until two thirds of what is usual have been learned anew."""
HOURS, BY_HOUR = 24, frozenset({"usual", "slots"})
HOUR_MEMORY = 32.0
MOST_ALIKE = 0.95
"""Neighbouring slots are at most taken for so alike."""
LEAST_SLOTS = 32
"""A cohort is not known before so many of its slots were learned."""
SETTLED = 16
"""Slots until there is a unit to count in."""
CAUTION = 1.3
"""Sums must be so many times as high as for independent normal slots: slots remember an eighth of the one before."""
BEYOND_USUAL = 1.5
"""And so many times as high as they ever were without an alarm."""
FADES = 0.999
"""What they were fades with each slot."""
_MEDIAN_ERROR = 1.2533
"""Of a median over a mean, of normal numbers."""
_FROM_MAD = 1.4826
_TINY = 1e-30
_EDGE = 1.166
"""How far a sum of normal numbers is past its threshold in the mean, at both ends."""


class Sites(NamedTuple):
    """What each site says of a cohort in one slot, columns of shape (rows,).

    `cohort`: which one, by number; `devices`: its series there; `total` and `squares` of their distances from their own
    past, in their own scales.
    """

    cohort: Ints
    devices: Floats
    total: Floats
    squares: Floats


class Common(NamedTuple):
    """What the sites of each cohort have in common, columns of shape (cohorts,): `sites` i8, all else f8.

    `shift`: the median of their means; `between`: the variance of these; `within`: that of devices of one site; `few`: the mean
    over sites of 1 / devices; `devices`: of all sites.
    """

    sites: Ints
    devices: Floats
    shift: Floats
    between: Floats
    within: Floats
    few: Floats


class Chart(NamedTuple):
    """What is remembered of each cohort, f8 columns of shape (cohorts,), or (`HOURS`, cohorts).

    `usual` shift by hour of the day, from so many `slots` of it; the `variance` of what differs from it, and its product with that
    of the slot before, `echo`, and that slot's, `last`; the usual variances `between` and `within` sites; the sums `above` and
    `below`; `run`: the highest of a run of sums that has not ended, `peak`: of those that have; `run_slots` that wait for the end of
    the run to be learned, `run_squares`, `run_echoes`: their sums of what `variance` and `echo` are made of; `seen`: slots learned.
    """

    usual: Floats
    slots: Floats
    variance: Floats
    echo: Floats
    last: Floats
    between: Floats
    within: Floats
    above: Floats
    below: Floats
    run: Floats
    run_slots: Floats
    run_squares: Floats
    run_echoes: Floats
    peak: Floats
    seen: Floats


class When(NamedTuple):
    """A slot: the `hour` of its day; which cohorts it `learns` from, those not in alarm; above which sum they wait with it (`hold`)."""

    hour: int
    learns: NDArray[np.bool_]
    hold: Floats


class Stepped(NamedTuple):
    """The chart after a slot; and of each cohort, shape (cohorts,): its distance from what is usual, the `unit` it is in, the higher sum."""

    chart: Chart
    distance: Floats
    usual: Floats
    unit: Floats
    highest: Floats


def fresh(cohorts: int) -> Chart:
    """Of so many cohorts nothing is known."""
    return Chart(*(np.zeros((HOURS, cohorts) if name in BY_HOUR else cohorts) for name in Chart._fields))


def common(sites: Sites, cohorts: int) -> Common:
    """Of cohorts 0 to `cohorts`, each of which has rows in `sites`; the order of the rows does not matter but for last bits."""
    of = sites.cohort
    number = np.bincount(of, minlength=cohorts)
    devices = np.bincount(of, sites.devices, cohorts).astype(np.float64)
    means = sites.total / sites.devices
    shift = medians(means, of, number)
    between = (_FROM_MAD * medians(np.abs(means - shift[of]), of, number)) ** 2
    squares = np.bincount(of, sites.squares - means * sites.total, cohorts)
    within = np.maximum(squares, 0.0) / np.maximum(devices - number, 1.0)
    few = np.bincount(of, 1.0 / sites.devices, cohorts) / number
    return Common(number, devices, shift, between, within, few)


def medians(values: Floats, cohort: Ints, number: Ints) -> Floats:
    """Of the values of each cohort, `number` of them each, shape (cohorts,)."""
    ordered = values[np.lexsort((values, cohort))]
    first = np.cumsum(number) - number
    middle: Floats = (ordered[first + (number - 1) // 2] + ordered[first + number // 2]) / 2.0
    return middle


def step(known: Chart, now: Common, when: When) -> Stepped:
    """One slot on; what is not `learns` stands still."""
    unit, usual, slots = unit_of(known, now), usual_of(known, now, when.hour), known.slots[when.hour]
    distance = np.clip((now.shift - usual) / unit, -CLIP, CLIP)
    moved, counts = distance * unit, known.seen >= SETTLED
    above = np.where(counts, np.maximum(known.above + distance - REFERENCE, 0.0), 0.0)
    below = np.where(counts, np.maximum(known.below - distance - REFERENCE, 0.0), 0.0)
    highest = np.maximum(above, below)
    over, waits = highest == 0.0, highest > when.hold
    # A run that may become an alarm is learned when it is over.
    run_slots, run_squares = known.run_slots + 1.0, known.run_squares + moved * moved
    run_echoes = known.run_echoes + moved * known.last
    weight = np.maximum(1.0 / (known.seen + 2.0), 1.0 / MEMORY)
    of_run = np.where(waits, 0.0, 1.0 - (1.0 - weight) ** run_slots)
    by_hour = known.usual.copy(), known.slots.copy()
    by_hour[0][when.hour] = usual + np.where(waits, 0.0, np.maximum(1.0 / (slots + 2.0), 1.0 / HOUR_MEMORY) * moved)
    by_hour[1][when.hour] = slots + 1.0
    learned = Chart(
        *by_hour,
        variance=known.variance + of_run * (run_squares / run_slots - known.variance),
        echo=known.echo + of_run * (run_echoes / run_slots - known.echo),
        last=moved,
        between=known.between + weight * (now.between - known.between),
        within=known.within + weight * (now.within - known.within),
        above=above,
        below=below,
        run=np.where(over, 0.0, np.maximum(known.run, highest)),
        run_slots=np.where(waits, run_slots, 0.0),
        run_squares=np.where(waits, run_squares, 0.0),
        run_echoes=np.where(waits, run_echoes, 0.0),
        peak=FADES * np.where(over, np.maximum(known.peak, known.run), known.peak),
        seen=known.seen + 1.0,
    )
    chart = Chart(*(np.where(when.learns, new, old) for new, old in zip(learned, known, strict=True)))
    return Stepped(chart, distance, usual, unit, np.maximum(chart.above, chart.below))


def usual_of(known: Chart, now: Common, hour: int) -> Floats:
    """The usual shift at this hour, shape (cohorts,): the mean of all hours where it was not seen yet, at first what it is now."""
    mean = (known.usual * known.slots).sum(axis=0) / np.maximum(known.slots.sum(axis=0), 1.0)
    of_others = np.where(known.seen == 0.0, now.shift, mean)
    return np.where(known.slots[hour] > 0.0, known.usual[hour], of_others)


def unit_of(known: Chart, now: Common) -> Floats:
    """What the shift of each cohort is measured in, shape (cohorts,)."""
    spread = np.maximum(known.between, now.between) + np.maximum(known.within, now.within) * now.few
    error = _MEDIAN_ERROR * np.sqrt(spread / now.sites)
    alike = known.echo / np.maximum(known.variance, _TINY) + 1.0 / np.sqrt(known.seen + 1.0)
    alike = np.clip(alike, 0.0, MOST_ALIKE)
    return np.maximum(np.maximum(np.sqrt(known.variance), error), LEAST_UNIT) * np.sqrt((1.0 + alike) / (1.0 - alike))


def threshold(asked: float) -> float:
    """The sum that a cohort reaches by chance, on either side, in a share `asked` of the slots."""
    edge = 1.0
    for _ in range(20):  # e^b - b - 1 = 1 / asked
        edge = math.log(1.0 / asked + edge + 1.0)
    return CAUTION * (edge - _EDGE)


def rarity(sums: float) -> float:
    """Minus the logarithm of how often such a sum comes about by chance, per slot."""
    edge = sums / CAUTION + _EDGE
    return math.log(math.expm1(edge) - edge)
