"""A guard's two bets: against "no more harm than the control", and against "at least the tolerable margin"."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.columns import Code
from analytics.rollouts.eprocess import binomial, logrank
from analytics.rollouts.eprocess.mixture import log10_mixture
from analytics.rollouts.eprocess.stakes import HARM, SAFE, harm_mixture
from analytics.rollouts.risk import Exposure
from analytics.rollouts.soaked import Soaked
from ingest.contract.events import Guard, GuardKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analytics.rollouts.columns import Batch
    from analytics.rollouts.risk import Cohort, Happened

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

EVENTS: dict[GuardKind, Code] = {
    GuardKind.CRASH: Code.CRASHED,
    GuardKind.SILENCE: Code.SILENT,
    GuardKind.ALARM: Code.ALARMED,
}
"""Which rows are a guard's events."""


class Moves(NamedTuple):
    """What a batch does to a guard's bets, in order.

    `run` (n,) is the instant of each move, `harm` and `safe` (n, effects) the logarithms of the factors for harm and for
    harmlessness, `events` (n, 2) by how many canaries and controls the count rises.
    """

    run: Ints
    harm: Floats
    safe: Floats
    events: Ints


class Path(NamedTuple):
    """A guard's bets after each of its moves, before the first one first: n moves lead to n + 1 rows.

    `log10_harm` and `log10_safe` (n + 1,) are the mixtures.
    """

    run: Ints
    harm: Floats
    safe: Floats
    events: Ints
    log10_harm: Floats
    log10_safe: Floats


class Bets(msgspec.Struct, kw_only=True):
    """One guard's running bets: natural logarithms of the e-values, one per effect of the mixtures.

    `weight` is the guard's share of alpha: the weights of a plan's guards sum to 1. `events` counts first events, or devices whose
    soak is over, as (canary, control), or failed updates.
    """

    guard: Guard
    weight: float
    harm: list[float]
    safe: list[float]
    metric: int = -1
    events: tuple[int, int] = (0, 0)
    exposure: Exposure = msgspec.field(default_factory=Exposure)
    soaked: Soaked = msgspec.field(default_factory=Soaked)

    def play(self, batch: Batch, cohort: Cohort) -> Path:
        """Take a batch; the bets stay where they are until `settle`."""
        if self.guard.kind is GuardKind.UPDATE:
            moves = self._updates(batch, cohort)
        else:
            moves = self._first_events(batch, cohort) if self.guard.kind in EVENTS else self._soaks(batch, cohort)
        harm, safe = _run(self.harm, moves.harm), _run(self.safe, moves.safe)
        events = np.cumsum(np.concatenate([[self.events], moves.events]), axis=0)
        log10_harm = log10_mixture(harm, harm_mixture(self.guard))
        return Path(moves.run, harm, safe, events, log10_harm, log10_mixture(safe, SAFE[self.guard.kind]))

    def settle(self, path: Path, row: int) -> None:
        """Take the bets to where `path` has them after its first `row` moves."""
        self.harm, self.safe = path.harm[row].tolist(), path.safe[row].tolist()
        self.events = (int(path.events[row, 0]), int(path.events[row, 1]))

    @property
    def log10_harm(self) -> float:
        """log10 of the e-value for harm, not weighted."""
        return float(log10_mixture(np.array([self.harm]), harm_mixture(self.guard))[0])

    @property
    def log10_safe(self) -> float:
        """log10 of the e-value for harmlessness."""
        return float(log10_mixture(np.array([self.safe]), SAFE[self.guard.kind])[0])

    def _first_events(self, batch: Batch, cohort: Cohort) -> Moves:
        code = batch.rows.code
        exits = np.flatnonzero(code == Code.CENSORED)
        happened = self.exposure.advance(batch, cohort, np.flatnonzero(code == EVENTS[self.guard.kind]), exits)
        run, table = event_times(batch, cohort, happened)
        o, d, n1, n0 = table.T
        harm = logrank.log_factors(o, d, n1, n0, HARM[self.guard.kind].effects, log_null=0.0)
        safe = logrank.log_factors(o, d, n1, n0, SAFE[self.guard.kind].effects, log_null=math.log(self.guard.margin))
        return Moves(run, harm, safe, np.stack([o, d - o], axis=1))

    def _updates(self, batch: Batch, cohort: Cohort) -> Moves:
        code, margin = batch.rows.code, self.guard.margin
        answers = np.flatnonzero((code == Code.UPDATED) | (code == Code.UPDATE_FAILED))
        happened = self.exposure.advance(batch, cohort, answers, np.flatnonzero(code == Code.CENSORED), singly=True)
        ours = cohort.canary[happened.device]
        row = happened.row[ours]
        failed = code[row] == Code.UPDATE_FAILED
        harm = binomial.log_factors(failed, binomial.worse_than(margin, HARM[self.guard.kind].effects), margin)
        safe = binomial.log_factors(failed, binomial.better_than(margin, SAFE[self.guard.kind].effects), margin)
        return Moves(batch.run[row], harm, safe, np.stack([failed, np.zeros_like(failed)], axis=1).astype(np.int64))

    def _soaks(self, batch: Batch, cohort: Cohort) -> Moves:
        rows = batch.rows
        soaks = np.flatnonzero((rows.code == Code.SOAKED) & (rows.metric == self.metric))
        exits = np.flatnonzero((rows.code == Code.CENSORED) | (rows.code == Code.SILENT))
        happened = self.exposure.advance(batch, cohort, soaks, exits, singly=True)
        canary = cohort.canary[happened.device]
        harm, safe = self.soaked.factors(self.guard, batch, cohort, happened)
        return Moves(batch.run[happened.row], harm, safe, np.stack([canary, ~canary], axis=1).astype(np.int64))


def new_bets(guards: Sequence[Guard], metrics: dict[str, int]) -> list[Bets]:
    """Bets that have seen nothing."""
    total = sum(guard.weight for guard in guards)
    return [
        Bets(
            guard=guard,
            weight=guard.weight / total,
            harm=[0.0] * len(harm_mixture(guard).effects),
            safe=[0.0] * len(SAFE[guard.kind].effects),
            metric=metrics.get(guard.statistic(), -1),
        )
        for guard in guards
    ]


def event_times(batch: Batch, cohort: Cohort, happened: Happened) -> tuple[Ints, Ints]:
    """First events of one stratum and instant taken together, in order of time: their runs (n,) and o, d, n1, n0 (n, 4)."""
    run, stratum = batch.run[happened.row], cohort.stratum[happened.device]
    order = np.lexsort((stratum, run))
    run, stratum = run[order], stratum[order]
    first = np.flatnonzero((np.diff(run, prepend=-1) != 0) | (np.diff(stratum, prepend=-1) != 0))
    events = np.diff(np.append(first, len(run)))
    canaries = np.add.reduceat(cohort.canary[happened.device][order].astype(np.int64), first) if len(first) else events
    at_risk = np.stack([happened.canaries, happened.controls], axis=1)[order][first]
    return run[first], np.column_stack([canaries, events, at_risk])


def _run(start: list[float], factors: Floats) -> Floats:
    # A running sum from the carried values: the same numbers however the moves are split over calls.
    return np.cumsum(np.concatenate([[start], factors]), axis=0)
