"""Who is at risk of what: the counts that every bet is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from analytics.rollouts.columns import Code

if TYPE_CHECKING:
    from analytics.rollouts.columns import Batch, EvidenceColumns

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HARMS = (Code.CRASHED, Code.SILENT, Code.UPDATE_FAILED)
"""What harms a device, and uses up a rollout's blast radius."""

ENTER, HAPPEN, LEAVE = 0, 1, 2
"""The order within one instant: who enters is at risk of what happens then, who leaves still was."""


class Cohort(msgspec.Struct):
    """The enrolled devices by number: `stratum`, `pool`, `canary` and `harmed` (one of `HARMS` happened to it) have shape (devices,)."""

    stratum: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pool: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    canary: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=bool))
    harmed: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=bool))

    def enrol(self, batch: Batch) -> None:
        """Take the batch's enrolments."""
        fresh = batch.enrolments
        self.stratum = np.concatenate([self.stratum, batch.rows.stratum[fresh]])
        self.pool = np.concatenate([self.pool, batch.rows.pool[fresh]])
        self.canary = np.concatenate([self.canary, batch.rows.canary[fresh]])
        self.harmed = np.concatenate([self.harmed, np.zeros(len(fresh), dtype=bool)])

    def note_harm(self, rows: EvidenceColumns, taken: int) -> None:
        """Take the harms among the rows that the gate took."""
        code, device = rows.code[:taken], rows.device[:taken]
        self.harmed[device[np.isin(code, HARMS) & (device >= 0)]] = True

    @property
    def harmed_canaries(self) -> int:
        """How many canaries are harmed."""
        return int((self.harmed & self.canary).sum())

    @property
    def enrolled(self) -> tuple[int, int]:
        """How many canaries and controls ever."""
        canaries = int(self.canary.sum())
        return canaries, len(self.canary) - canaries

    @property
    def strata(self) -> int:
        """How many strata, waves counted apart."""
        return int(self.stratum.max()) + 1 if len(self.stratum) else 0


class Happened(NamedTuple):
    """First events in order of time, shape (events,).

    The row in the batch, the device, and how many canaries and controls of its stratum were at risk just before.
    """

    row: Ints
    device: Ints
    canaries: Ints
    controls: Ints


class Exposure(msgspec.Struct):
    """Who is still exposed to one guard's event: `inside` (devices,), and `at_risk` (strata, 2) as canaries, controls."""

    inside: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, dtype=bool))
    at_risk: np.ndarray = msgspec.field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))

    def advance(self, batch: Batch, cohort: Cohort, events: Ints, exits: Ints, *, singly: bool = False) -> Happened:
        """Take a batch: `events` and `exits` are its rows of those who have the event, and of those who leave without it.

        Counts are those before the instant, or, `singly`, before the device itself, in an order that the arms do not know.
        """
        self._grow(len(cohort.canary), cohort.strata)
        rows = np.concatenate([events, exits])
        phase = np.repeat([HAPPEN, LEAVE], [len(events), len(exits)])
        rows, phase = self._first(batch, rows, phase, singly=singly)
        device = batch.rows.device[rows]
        entering = batch.rows.device[batch.enrolments]
        stratum = np.concatenate([cohort.stratum[entering], cohort.stratum[device]])
        canary = np.concatenate([cohort.canary[entering], cohort.canary[device]])
        keys = np.concatenate([batch.run[batch.enrolments] * 3 + ENTER, batch.run[rows] * 3 + phase])
        change = np.stack([canary, ~canary], axis=1) * np.repeat([1, -1], [len(entering), len(rows)])[:, None]
        before = counts_before(self.at_risk, stratum, keys, change, singly=singly)[len(entering) :]
        for arm in (0, 1):
            self.at_risk[:, arm] += _sums(stratum, change[:, arm], len(self.at_risk))
        self.inside[entering] = True
        self.inside[device] = False
        happened = phase == HAPPEN
        return Happened(rows[happened], device[happened], *before[happened].T)

    def _first(self, batch: Batch, rows: Ints, phase: Ints, *, singly: bool) -> tuple[Ints, Ints]:
        # Each exposed device's first row, in order. What was before the enrolment is of no arm's doing.
        device = batch.rows.device[rows]
        known = device >= 0
        rows, phase, device = rows[known], phase[known], device[known]
        entered = batch.entered[device]
        counts = (self.inside[device] | (entered >= 0)) & (batch.run[rows] >= entered)
        rows, phase, device = rows[counts], phase[counts], device[counts]
        tie = _scrambled(device) if singly else rows
        order = np.lexsort((tie, batch.run[rows] * 3 + phase))
        rows, phase = rows[order], phase[order]
        first = np.sort(np.unique(device[order], return_index=True)[1])
        return rows[first], phase[first]

    def _grow(self, devices: int, strata: int) -> None:
        if devices > len(self.inside):
            self.inside = np.concatenate([self.inside, np.zeros(devices - len(self.inside), dtype=bool)])
        if strata > len(self.at_risk):
            fresh = np.zeros((strata - len(self.at_risk), 2), dtype=np.int64)
            self.at_risk = np.concatenate([self.at_risk, fresh])


def counts_before(carried: Ints, stratum: Ints, key: Ints, change: Ints, *, singly: bool) -> Ints:
    """How many of each arm are at risk in a row's stratum before its key (`singly`: and, at its key, before itself), shape (n, 2).

    `carried` (strata, 2) are the counts before the first row; `stratum` and `key` have shape (n,), `change` (n, 2) is
    what a row adds.
    """
    order = np.lexsort((key, stratum))
    sorted_stratum, sorted_key = stratum[order], key[order]
    running = np.cumsum(change[order], axis=0) - change[order]
    new_stratum = np.diff(sorted_stratum, prepend=-1) != 0
    new_key = new_stratum | (np.diff(sorted_key, prepend=-1) != 0)
    at = np.arange(len(order))
    start = np.maximum.accumulate(np.where(new_stratum, at, 0))
    tied = at if singly else np.maximum.accumulate(np.where(new_key, at, 0))
    counts = np.empty_like(running)
    counts[order] = running[tied] - running[start] + carried[sorted_stratum]
    return counts


def _sums(stratum: Ints, change: Ints, strata: int) -> Ints:
    # Counts of devices are whole numbers far below those that a float no longer holds.
    return np.bincount(stratum, weights=change, minlength=strata).astype(np.int64)


def _scrambled(device: Ints) -> Ints:
    # Knuth's multiplicative hash of the enrolment's number: an order that no list of devices has.
    return (device + 1) * 2_654_435_761 & 0xFFFF_FFFF
