"""The pooled tails of like series: for each cohort and detector one histogram of fixed size, refitted as it grows.

A cohort of fewer than `POOLED_SERIES` series is none. Its series are pooled with all others of their tenant and width that
are alone: a surprise has no unit, and how often it was as high among unlike series is still better known than how often
it was in the one. Where those are fewer than `ALONE_SERIES`, a series' own past decides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.calibrate import (
    BINS,
    EDGES,
    UNKNOWN_TAIL,
    Tail,
    fit_tail,
    probability_per_test,
    quantile,
)
from analytics.detect.merge import LATER, RARE, TERMS, Detector
from analytics.detect.waiting import waits
from analytics.detectors.hysteresis import LEAVE_SHARE
from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALONE = 0
"""The pool of those that have none because there are too many; its tails are never trusted."""
MOST_COHORTS = 4096
POOLED_SERIES = 5
"""Fewer like series than this are no cohort: what they have in common may be chance."""
ALONE_SERIES = 50
"""Fewer unlike series than this are not pooled."""
YOUNG = 1440
"""Windows of which a pool must have seen as many before it knows shocks that its series share."""
MOST_POINTS = 10_000_000
"""A histogram that has reached this is halved, so that what is long past fades."""
REFIT_GROWTH = 0.125
SILENT = 255
"""The bin that it takes to enter where no surprise does: there is none as high."""


class CohortKey(NamedTuple):
    """Like with like: series of one cohort are expected to surprise equally often. `width` in ms."""

    tenant: str
    metric: str
    hardware: str
    width: int


class Thresholds(NamedTuple):
    """Of each row, shape (rows,), u1: the bin of surprise that it takes to enter, and the bin below which it is calm.

    `pooled`: whether a pool says so.
    """

    enter: NDArray[np.uint8]
    calm: NDArray[np.uint8]
    pooled: NDArray[np.bool_]


class Members(NamedTuple):
    """Of each row, shape (rows,): the pool that speaks for it, all between `first` and `last`, and the place of its first count."""

    pools: NDArray[np.int64]
    first: int
    last: int
    places: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> Members:
        """Some rows."""
        return self._replace(pools=self.pools[rows], places=self.places[rows])


NO_ROWS: NDArray[np.int64] = np.empty(0, np.int64)


class Pools:
    """Tails by cohort and detector. `asked`: of each cohort, the probability that the user's one number allows a window.

    `rate` is false alerts per 1,000 series and day; a pool of fewer than `pooled_from` windows (novelty: a hundred times as
    many) does not speak, the own past of a series that is alone speaks from `own_from` windows on.
    """

    def __init__(self, rate: float, pooled_from: int, own_from: int) -> None:
        self._rate, self._own_from = rate, own_from
        self._least = np.array([pooled_from * detector.points for detector in TERMS], np.int64)
        self._ids: dict[CohortKey, int] = {}
        self._keys: list[CohortKey] = []
        self._members, self._wanted = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._begun = np.zeros(0, np.int64)
        """When a cohort's first series was seen: the end of its window in ms."""
        self._pool = np.zeros(0, np.int64)
        """Of each cohort: the pool that speaks for it, its own or that of those who are alone."""
        self._counts = np.zeros((0, len(Detector), BINS), np.int64)
        self._points, self._fitted_at = (np.zeros((0, len(Detector)), np.int64) for _ in range(2))
        self._enter, self._calm = (np.zeros((len(Detector), 0), np.uint8) for _ in range(2))
        self.asked, self._own_rarity = np.zeros(0), np.zeros(0)
        self._tails: list[list[Tail | None]] = []
        self._open(CohortKey("", "", "", 1))

    def cohort(self, key: CohortKey) -> int:
        """The cohort's number; `ALONE` for new ones beyond `MOST_COHORTS`."""
        known = self._ids.get(key)
        if known is None:
            known = self._open(key) if len(self._ids) < MOST_COHORTS else ALONE
        return known

    def move(self, left: int, joined: int, now: int) -> None:
        """A series is now (ms) in cohort `joined`; `left` is negative when it was in none."""
        if self._begun[joined] == 0:
            self._begun[joined] = now
        self._count(joined, 1)
        if left >= 0:
            self._count(left, -1)

    def level(self, cohorts: NDArray[np.int16]) -> Thresholds:
        """What it takes each row's level. It speaks through pools alone: noise of one series is no measure of its tail."""
        return self.thresholds(Detector.LEVEL, cohorts)

    def young(self, cohort: int, now: int) -> bool:
        """Whether the cohort's pool is too young (at `now`, ms) to know what its series suffer together."""
        return bool(now - self._begun[cohort] < YOUNG * self._keys[cohort].width)

    def novelty(self, cohorts: NDArray[np.int16], windows: NDArray[np.uint16]) -> Thresholds:
        """What it takes each row's novelty, a rarity by its own past. `windows`: that it has seen.

        A series that is not alone waits for its pool to speak.
        """
        found = self.thresholds(Detector.NOVELTY, cohorts)
        pools = self._pool[cohorts]
        alone = (self._members[pools] < self._wanted[pools]) & (windows >= self._own_from)
        own = where(~found.pooled & alone)
        found.enter[own], found.calm[own] = _bins_for(self._own_rarity[cohorts[own]])
        found.enter[found.pooled & (windows < TERMS[Detector.NOVELTY].windows)] = SILENT
        return found

    def members(self, cohorts: NDArray[np.int16], idle: NDArray[np.int64] = NO_ROWS) -> Members:
        """Which pools speak for rows of these cohorts, shape (rows,); where they are `idle`, by number, any of the others'."""
        pools = self._pool.take(cohorts)
        if idle.size:
            apart = where(idle != np.arange(len(idle)))
            pools[idle] = pools[apart[0] if apart.size else len(idle) % len(pools)]
        first = int(pools.min())
        return Members(pools, first, int(pools.max()), (pools - first) * BINS)

    def add_those(
        self, detector: Detector, members: Members, bins: NDArray[np.uint8], counts: NDArray[np.bool_]
    ) -> None:
        """Pool one window of each row that `counts`, shape (rows,)."""
        others = where(~counts)
        if len(others) <= len(counts) // 4:
            self.add(detector, members, bins, others)
        elif len(others) < len(counts):
            self.add(detector, members.of(where(counts)), bins[counts])

    def add(
        self, detector: Detector, members: Members, bins: NDArray[np.uint8], others: NDArray[np.int64] = NO_ROWS
    ) -> None:
        """Pool one window of each row but for the few `others`, by number; then refit the tails that have grown enough."""
        first, last = members.first, members.last
        size = (last - first + 1) * BINS
        counted = np.bincount(members.places + bins, minlength=size)
        if others.size:
            counted -= np.bincount(members.places[others] + bins[others], minlength=size)
        counted = counted.reshape(-1, BINS)
        self._counts[first : last + 1, detector] += counted
        self._points[first : last + 1, detector] += counted.sum(axis=1)
        if detector is Detector.LEVEL:
            self._counts[first : last + 1, RARE, 0] += counted.sum(axis=1)[:, None]
            self._points[first : last + 1, RARE] += counted.sum(axis=1)[:, None]
        points, fitted = self._points[first : last + 1, detector], self._fitted_at[first : last + 1, detector]
        sizes = self._members[first : last + 1]
        due = points >= np.maximum(self._least[detector], fitted * (1 + REFIT_GROWTH))
        waited = points * TERMS[detector].stride >= sizes * waits(sizes, detector)
        due &= (sizes >= self._wanted[first : last + 1]) & waited
        for pool in where(due) + first:
            if pool != ALONE:
                self._fit(int(pool), detector)
                for rare in RARE if detector is Detector.LEVEL else ():
                    if self._points[pool, rare] >= self._least[rare]:
                        self._fit(int(pool), rare)

    def add_rare(self, detector: Detector, cohorts: NDArray[np.int16], bins: NDArray[np.uint8]) -> None:
        """Pool what is rare, without a look at the tails.

        To the detectors of rare things the windows of level count as those in which they found nothing.
        """
        places = (self._pool.take(cohorts) * len(Detector) + detector) * BINS + bins
        np.add.at(self._counts.reshape(-1), places, 1)

    def thresholds(self, detector: Detector, cohorts: NDArray[np.int16]) -> Thresholds:
        """What a detector's surprise takes in each row."""
        pools = self._pool.take(cohorts)
        enter = self._enter[detector].take(pools)
        return Thresholds(enter, self._calm[detector].take(pools), enter != SILENT)

    def least(self, detector: Detector) -> int:
        """The lowest bin of surprise that it takes to enter in any pool."""
        return int(self._enter[detector].min())

    def high(self, detector: Detector, cohorts: NDArray[np.int16], surprises: NDArray[np.float32]) -> NDArray[np.int64]:
        """Which rows, by number, are not calm: their surprise is in the bin below which a row is calm, or above it."""
        least = EDGES[self._calm[detector]].astype(np.float32)
        some = where(surprises >= least.min())
        high: NDArray[np.int64] = some[surprises[some] >= least[self._pool[cohorts[some]]]]
        return high

    def share(self, cohort: int, detector: Detector) -> float:
        """Of the asked probability; level has that of the detectors that do not speak yet."""
        return self._share(int(self._pool[cohort]), detector)

    def points(self, cohort: int, detector: Detector) -> int:
        """The windows pooled for a cohort."""
        return int(self._points[self._pool[cohort], detector])

    def speaks(self, cohorts: NDArray[np.int16], detectors: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether a pool speaks for this detector of each row, shape (rows,)."""
        found: NDArray[np.bool_] = self._enter[detectors, self._pool[cohorts]] != SILENT
        return found

    def speaks_for(self, detector: Detector, members: Members) -> NDArray[np.bool_]:
        """Whether a pool speaks for one detector in each row, shape (rows,)."""
        found: NDArray[np.bool_] = (self._enter[detector] != SILENT).take(members.pools)
        return found

    def tail(self, cohort: int, detector: Detector) -> Tail | None:
        """The pooled tail that speaks for a cohort, if one does."""
        return self._tails[int(self._pool[cohort])][detector]

    def asked_probability(self, cohort: int) -> float:
        """The tail probability that the user's one number allows a window."""
        return float(self.asked[cohort])

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        arrays = {name: getattr(self, "_" + name).tobytes() for name in _ARRAYS}
        return msgspec.msgpack.encode(_Dump(keys=self._keys, tails=self._tails, pool=self._pool.tolist(), **arrays))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before anything else."""
        content = msgspec.msgpack.decode(dumped, type=_Dump)
        for key in content.keys[1:]:
            self._open(key)
        self._counts = np.frombuffer(content.counts, np.int64).reshape(-1, len(Detector), BINS).copy()
        self._points = np.frombuffer(content.points, np.int64).reshape(-1, len(Detector)).copy()
        self._fitted_at = np.frombuffer(content.fitted_at, np.int64).reshape(-1, len(Detector)).copy()
        self._members = np.frombuffer(content.members, np.int64).copy()
        self._begun = np.frombuffer(content.begun, np.int64).copy()
        for pool, tails in enumerate(content.tails):
            for detector, tail in zip(Detector, tails, strict=True):
                self._take(pool, detector, tail)
        self._pool = np.array(content.pool, np.int64)

    def _count(self, cohort: int, change: int) -> None:
        # Those who are alone count as members of their tenant's pool of such.
        before = int(self._pool[cohort])
        if before != cohort:
            self._members[before] -= self._members[cohort]
        self._members[cohort] += change
        key = self._keys[cohort]
        alone = self._members[cohort] < POOLED_SERIES and cohort != ALONE
        after = self.cohort(CohortKey(key.tenant, "", "", key.width)) if alone else cohort
        self._pool[cohort] = after
        if after != cohort:
            self._members[after] += self._members[cohort]

    def _open(self, key: CohortKey) -> int:
        number = self._ids[key] = len(self._keys)
        asked = probability_per_test(self._rate, key.width)
        self._keys.append(key)
        self._members, self._pool = np.append(self._members, 0), np.append(self._pool, number)
        self._begun = np.append(self._begun, 0)
        self._wanted = np.append(self._wanted, POOLED_SERIES if key.metric or key.hardware else ALONE_SERIES)
        self._counts = np.concatenate([self._counts, np.zeros((1, len(Detector), BINS), np.int64)])
        for name in ("_points", "_fitted_at"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((1, len(Detector)), np.int64)]))
        # While no pool speaks nothing enters; what is in alarm is calm for novelty, and for level by a cautious tail.
        _, calm = _bins_for(np.array([quantile(UNKNOWN_TAIL, asked)]))
        self._enter = np.concatenate([self._enter, np.full((len(Detector), 1), SILENT, np.uint8)], axis=1)
        self._calm = np.concatenate([self._calm, np.array([calm, *[[SILENT]] * (len(Detector) - 1)], np.uint8)], axis=1)
        self.asked = np.append(self.asked, asked)
        self._own_rarity = np.append(self._own_rarity, -math.log(asked))
        self._tails.append([None] * len(Detector))
        return number

    def _fit(self, pool: int, detector: Detector) -> None:
        counts = self._counts[pool, detector]
        self._take(pool, detector, fit_tail(counts))
        if self._points[pool, detector] >= MOST_POINTS:
            counts //= 2
            self._points[pool, detector] = counts.sum()
        self._fitted_at[pool, detector] = self._points[pool, detector]

    def _take(self, pool: int, detector: Detector, tail: Tail | None) -> None:
        first, self._tails[pool][detector] = self._tails[pool][detector] is None, tail
        if tail is not None:
            asked = self.asked[pool] * self._share(pool, detector)
            enter, calm = _bins_for(np.array([quantile(tail, asked)]))
            self._enter[detector, pool], self._calm[detector, pool] = min(enter[0], SILENT - 1), calm[0]
            if first and detector in LATER:
                self._take(pool, Detector.LEVEL, self._tails[pool][Detector.LEVEL])

    def _share(self, pool: int, detector: Detector) -> float:
        later = LATER if detector is Detector.LEVEL else ()
        return TERMS[detector].share + sum(TERMS[one].share for one in later if self._tails[pool][one] is None)


_ARRAYS = ("counts", "points", "members", "fitted_at", "begun")


class _Dump(msgspec.Struct):
    keys: list[CohortKey]
    counts: bytes
    points: bytes
    members: bytes
    begun: bytes
    fitted_at: bytes
    tails: list[list[Tail | None]]
    pool: list[int]


def _bins_for(surprise: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The first bin that reaches each surprise, and the first that reaches so little of it that a lower one is calm."""
    enter, calm = (np.searchsorted(EDGES[:BINS], surprise * share) for share in (1.0, LEAVE_SHARE))
    return enter.astype(np.uint8), np.maximum(calm - 1, 0).astype(np.uint8)
