"""The cohorts' pooled tails: one histogram of fixed size for each, refitted as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.calibrate import (
    BINS,
    EDGES,
    Tail,
    exceedance,
    fit_tail,
    normal_exceedance,
    normal_surprise,
    probability_per_test,
    quantile,
)
from analytics.detectors.level import SEEN_MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALONE = 0
"""The cohort of those that have none because there are too many cohorts; its tail is never trusted."""
MOST_COHORTS = 4096
POOLED_SERIES = 5
"""Fewer like series than this are no cohort: what they have in common may be chance."""
MOST_POINTS = 10_000_000
"""A histogram that has reached this is halved, so that what is long past fades."""
REFIT_GROWTH = 0.125
OWN_MARGIN = 1.25
"""By how much more than its own past has it a series must surprise while no pool speaks for it."""

_EXPECTED_RECORD = np.array([normal_surprise(1 / max(2, seen)) for seen in range(SEEN_MOST + 1)])
"""The highest of so many surprises of normal noise, about."""


class CohortKey(NamedTuple):
    """Like with like: series of one cohort are expected to surprise equally often. `width` in ms."""

    tenant: str
    metric: str
    hardware: str
    width: int


class Thresholds(NamedTuple):
    """Of each row, shape (rows,): the surprise that it takes to enter (infinite: silent), and whether a pool says so."""

    surprise: NDArray[np.float64]
    pooled: NDArray[np.bool_]


class Pools:
    """Tails by cohort.

    `rate` is false alerts per 1,000 series and day; a pool of fewer than `pooled_from` windows does not speak, a
    series' own past speaks from `own_from` windows on.
    """

    def __init__(self, rate: float, pooled_from: int, own_from: int) -> None:
        self._rate, self._pooled_from, self._own_from = rate, pooled_from, own_from
        self._ids: dict[CohortKey, int] = {}
        self._keys: list[CohortKey] = []
        self._counts = np.zeros((0, BINS), np.int64)
        self._points = np.zeros(0, np.int64)
        self._members = np.zeros(0, np.int64)
        self._fitted_at = np.zeros(0, np.int64)
        self._thresholds = np.zeros(0)
        self._normal = np.zeros(0)
        self._tails: list[Tail | None] = []
        self._open(CohortKey("", "", "", 1))

    def cohort(self, key: CohortKey) -> int:
        """The cohort's number; `ALONE` for new ones beyond `MOST_COHORTS`."""
        known = self._ids.get(key)
        if known is not None:
            return known
        return self._open(key) if len(self._ids) < MOST_COHORTS else ALONE

    def move(self, left: int, joined: int) -> None:
        """A series is now in cohort `joined`; `left` is negative when it was in none."""
        self._members[joined] += 1
        if left >= 0:
            self._members[left] -= 1

    def thresholds(
        self, cohorts: NDArray[np.int32], record: NDArray[np.uint8], seen: NDArray[np.uint8], alarm: NDArray[np.uint8]
    ) -> Thresholds:
        """What each row takes to enter. `record`: the highest bin that was normal so far; `seen`: windows learned.

        A series in `alarm` whose cohort has changed is judged by its own past however short, so that it can calm down.
        """
        surprise = self._thresholds[cohorts]
        pooled = np.isfinite(surprise)
        alone = np.flatnonzero(~pooled)
        if alone.size:
            own = self._normal[cohorts[alone]] * OWN_MARGIN * _heavier(record[alone], seen[alone])
            speaks = (seen[alone] >= self._own_from) | (alarm[alone] != 0)
            surprise[alone] = np.where(speaks, own, np.inf)
        return Thresholds(surprise, pooled)

    def add(self, cohorts: NDArray[np.int32], bins: NDArray[np.uint8]) -> None:
        """Pool one window of each row, then refit the tails that have grown enough."""
        np.add.at(self._counts.reshape(-1), cohorts.astype(np.int64) * BINS + bins, 1)
        np.add.at(self._points, cohorts, 1)
        due = np.maximum(self._pooled_from, self._fitted_at * (1 + REFIT_GROWTH))
        for cohort in np.flatnonzero((self._points >= due) & (self._members >= POOLED_SERIES)):
            if cohort != ALONE:
                self._fit(int(cohort))

    def points(self, cohort: int) -> int:
        """The windows pooled in a cohort."""
        return int(self._points[cohort])

    def tail_probability(self, cohort: int, surprise: float, record: int, seen: int) -> float:
        """How often a like window is more surprising."""
        tail = self._tails[cohort]
        if tail is not None:
            return exceedance(tail, surprise)
        return normal_exceedance(surprise / float(_heavier(np.uint8(record), np.uint8(seen))))

    def asked_probability(self, cohort: int) -> float:
        """The tail probability that the user's one number allows a window."""
        return probability_per_test(self._rate, self._keys[cohort].width)

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        arrays = {name: getattr(self, "_" + name).tobytes() for name in ("counts", "points", "members", "fitted_at")}
        return msgspec.msgpack.encode(_Dump(keys=self._keys, tails=self._tails, **arrays))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before anything else."""
        content = msgspec.msgpack.decode(dumped, type=_Dump)
        for key in content.keys[1:]:
            self._open(key)
        self._counts = np.frombuffer(content.counts, np.int64).reshape(-1, BINS).copy()
        self._points = np.frombuffer(content.points, np.int64).copy()
        self._members = np.frombuffer(content.members, np.int64).copy()
        self._fitted_at = np.frombuffer(content.fitted_at, np.int64).copy()
        for cohort, tail in enumerate(content.tails):
            self._take(cohort, tail)

    def _open(self, key: CohortKey) -> int:
        number = self._ids[key] = len(self._keys)
        self._keys.append(key)
        self._counts = np.vstack([self._counts, np.zeros((1, BINS), np.int64)])
        self._points = np.append(self._points, 0)
        self._members = np.append(self._members, 0)
        self._fitted_at = np.append(self._fitted_at, 0)
        self._thresholds = np.append(self._thresholds, np.inf)
        self._normal = np.append(self._normal, normal_surprise(probability_per_test(self._rate, key.width)))
        self._tails.append(None)
        return number

    def _fit(self, cohort: int) -> None:
        self._take(cohort, fit_tail(self._counts[cohort]))
        if self._points[cohort] >= MOST_POINTS:
            self._counts[cohort] //= 2
            self._points[cohort] = self._counts[cohort].sum()
        self._fitted_at[cohort] = self._points[cohort]

    def _take(self, cohort: int, tail: Tail | None) -> None:
        self._tails[cohort] = tail
        if tail is not None:
            self._thresholds[cohort] = quantile(tail, self.asked_probability(cohort))


class _Dump(msgspec.Struct):
    keys: list[CohortKey]
    counts: bytes
    points: bytes
    members: bytes
    fitted_at: bytes
    tails: list[Tail | None]


def _heavier(record: NDArray[np.uint8] | np.uint8, seen: NDArray[np.uint8] | np.uint8) -> NDArray[np.float64]:
    # A tail that falls off like exp(-y / c) has records about c times those of another with c = 1.
    heavier: NDArray[np.float64] = np.maximum(1.0, EDGES[record.astype(np.int64) + 1] / _EXPECTED_RECORD[seen])
    return heavier
