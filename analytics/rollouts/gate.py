"""The gate: evidence in, answer out. The `apply` that serves production is the one that is simulated and replayed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.rollouts.bets import GUARDED, Bets, Path, new_bets, play, settle
from analytics.rollouts.risk import EventTime, RiskTable
from ingest.contract.events import Evidence, EvidenceKind, Guard, GuardKind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CODES = (Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.FAIL)


class Moment(msgspec.Struct, frozen=True):
    """One event time of one guard, and how many rows of the batch had been read with it."""

    guard: int
    time: EventTime
    rows: int


class Gate(msgspec.Struct, kw_only=True):
    """What the evidence of one rollout amounts to so far.

    `rows` counts the evidence taken, `since` is the event time (ms) at which the outcome became what it is (at
    first that of the first draw), `late` how
    much was listed only. A gate that failed is closed: it takes no further evidence.
    """

    alpha: float
    bets: list[Bets]
    risk: RiskTable
    outcome: Outcome = Outcome.INCONCLUSIVE
    since: int = 0
    guilty: str = ""
    rows: int = 0
    late: int = 0

    def apply(self, evidence: Sequence[Evidence]) -> int:
        """Take evidence in order; returns how many rows, fewer than given when the gate fails before the end.

        Events of one instant, stratum and kind must come next to each other, and never in two calls.
        """
        taken = 0
        for enrolling, run in groupby(evidence, lambda row: row.kind is EvidenceKind.ENROLLED):
            if self.outcome is Outcome.FAIL:
                break
            rows = list(run)
            taken += self._enrol(rows) if enrolling else self._judge(rows)
        self.rows += taken
        return taken

    def e_value_log10(self) -> float:
        """The largest of the guards' harm e-values, each times the guard's weight, as a logarithm (base 10)."""
        return max(float(weighted_harm(bets, play(bets, ()))[-1]) for bets in self.bets)

    def _enrol(self, rows: Sequence[Evidence]) -> int:
        self.since = self.since or rows[0].at
        for row in rows:
            self.risk.enrol(member_key(row), row.stratum, row.arm)
        return len(rows)

    def _judge(self, rows: Sequence[Evidence]) -> int:
        taken = self._settle(self._moments(rows), len(rows))
        self.late += sum(row.kind is EvidenceKind.LATE for row in rows[:taken])
        return taken

    def _moments(self, evidence: Sequence[Evidence]) -> list[Moment]:
        moments, read = [], 0
        for (at, stratum, kind), run in groupby(evidence, lambda row: (row.at, row.stratum, row.kind)):
            devices = [member_key(row) for row in run]
            read += len(devices)
            if kind in GUARDED:
                moments += [Moment(g, time, read) for g, time in self._fail(GUARDED[kind], stratum, devices, at)]
            elif kind is EvidenceKind.CENSORED:
                self.risk.censor(devices)
        return moments

    def _fail(self, kind: GuardKind, stratum: str, devices: Sequence[str], at: int) -> list[tuple[int, EventTime]]:
        watching = [index for index, bets in enumerate(self.bets) if bets.guard.kind is kind]
        times = [(index, self.risk.fail(index, stratum, devices, at)) for index in watching]
        return [(index, time) for index, time in times if time is not None]

    def _settle(self, moments: Sequence[Moment], rows: int) -> int:
        own = [[m.time for m in moments if m.guard == index] for index in range(len(self.bets))]
        paths = [play(bets, times) for bets, times in zip(self.bets, own, strict=True)]
        progress = _progress(moments, len(self.bets))
        codes = outcomes(self.bets, paths, progress, self.alpha)
        failed = np.flatnonzero(codes == CODES.index(Outcome.FAIL))
        last = int(failed[0]) if failed.size else len(moments)
        for bets, path, row in zip(self.bets, paths, progress[last], strict=True):
            settle(bets, path, int(row))
        self._turn(codes[: last + 1], moments)
        return moments[last - 1].rows if failed.size else rows

    def _turn(self, codes: NDArray[np.int64], moments: Sequence[Moment]) -> None:
        # `codes` has one entry before the first moment, which is the outcome we had.
        changes = np.flatnonzero(np.diff(codes))
        if changes.size:
            self.since = moments[int(changes[-1])].time.at
        self.outcome = CODES[int(codes[-1])]
        if self.outcome is Outcome.FAIL:
            self.guilty = max(self.bets, key=lambda bets: weighted_harm(bets, play(bets, ()))[-1]).guard.name


def new_gate(guards: Sequence[Guard], alpha: float) -> Gate:
    """A gate that has seen no evidence."""
    return Gate(alpha=alpha, bets=new_bets(guards), risk=RiskTable(len(guards)))


def member_key(evidence: Evidence) -> str:
    """What names a device in a rollout: names are unique within a site only."""
    return f"{evidence.site}/{evidence.device}"


def weighted_harm(bets: Bets, path: Path) -> NDArray[np.float64]:
    """log10 of weight times harm e-value along a path, shape (n + 1,), rounded to nine decimals."""
    weighted: NDArray[np.float64] = np.round(path.log10_harm + np.log10(bets.weight), 9) + 0.0
    return weighted


def threshold(alpha: float) -> float:
    """log10 of 1/alpha, rounded to nine decimals."""
    return round(float(-np.log10(alpha)), 9)


def outcomes(
    bets: Sequence[Bets], paths: Sequence[Path], progress: NDArray[np.int64], alpha: float
) -> NDArray[np.int64]:
    """What the gate answers before the first and after each moment, as indexes into `CODES`; shape (moments + 1,).

    fail: some guard's weighted harm e-value has reached 1/alpha: each does so with probability at most its share of alpha, so
    that no guard at all does with at least 1 - alpha, however the guards depend on each other. pass: every guard's
    non-inferiority e-value is at 1/alpha, and one of the guards watches silence (bricked devices are seen by no other).
    """
    limit = threshold(alpha)
    harm = np.stack([weighted_harm(b, p)[progress[:, g]] for g, (b, p) in enumerate(zip(bets, paths, strict=True))])
    safe = np.stack([path.log10_safe[progress[:, g]] for g, path in enumerate(paths)])
    can_pass = any(b.guard.kind is GuardKind.SILENCE for b in bets)
    passed = (safe >= limit).all(axis=0) & can_pass
    codes: NDArray[np.int64] = np.where((harm >= limit).any(axis=0), 2, passed.astype(np.int64))
    return codes


def _progress(moments: Sequence[Moment], guards: int) -> NDArray[np.int64]:
    # How many event times each guard had had before the first and after each moment, shape (moments + 1, guards).
    seen = np.zeros((len(moments) + 1, guards), dtype=np.int64)
    seen[np.arange(1, len(moments) + 1), [moment.guard for moment in moments]] = 1
    return np.cumsum(seen, axis=0)
