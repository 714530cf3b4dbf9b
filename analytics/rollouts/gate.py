"""The gate: evidence in, answer out. The `step` that serves production is the one that is simulated and replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.rollouts.bets import Bets, Path, new_bets
from analytics.rollouts.columns import Code, batch_of
from analytics.rollouts.eprocess.combine import fails, passes, weighted
from analytics.rollouts.risk import Cohort
from analytics.rollouts.roster import Roster, new_roster
from ingest.contract.events import Evidence, Guard, GuardKind, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analytics.rollouts.columns import Batch, EvidenceColumns

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CODES = (Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.FAIL)
PASSED, FAILED = 1, 2


class Walk(NamedTuple):
    """What the gate answered on its way over a batch, up to the instant at which it failed if it did.

    `at` (instants,) is the time (ms) of each, `codes` (instants + 1,) the answer before the first and after each, as an index into
    `CODES`, `harm` and `safe` (guards, instants + 1) the guards' log10 e-values, those for harm weighted, `moves`
    (instants + 1, guards) how many moves each guard had made, `taken` how many rows were taken.
    """

    at: Ints
    codes: Ints
    harm: Floats
    safe: Floats
    moves: Ints
    taken: int


class Gate(msgspec.Struct, kw_only=True):
    """What the evidence of one rollout amounts to so far.

    `rows` counts the evidence taken, `started` is the event time (ms) of the first draw, `since` the one at which the outcome
    became what it is (at first `started`), `passed_at` and `failed_at` when it was pass and fail for the first time (0: never),
    `late` how much was listed only. A gate that failed is closed: it takes no further evidence.
    """

    alpha: float
    bets: list[Bets]
    roster: Roster
    cohort: Cohort = msgspec.field(default_factory=Cohort)
    outcome: Outcome = Outcome.INCONCLUSIVE
    started: int = 0
    since: int = 0
    passed_at: int = 0
    failed_at: int = 0
    guilty: str = ""
    rows: int = 0
    late: int = 0

    def apply(self, evidence: Sequence[Evidence]) -> int:
        """Take rows in order, see `step`."""
        return self.step(self.roster.columns(evidence)) if evidence else 0

    def step(self, rows: EvidenceColumns) -> int:
        """Take evidence in order; returns how many rows, fewer than given when the gate fails before the end.

        The gate answers after every instant: rows of equal time stand together, and those of one stratum never come in two calls.
        """
        if self.outcome is Outcome.FAIL or not len(rows.at):
            return 0
        return self.walk(rows).taken

    def walk(self, rows: EvidenceColumns) -> Walk:
        """`step`, with all that was answered on the way; `rows` are at least one, and the gate has not failed."""
        batch = batch_of(rows, len(self.cohort.canary))
        self.cohort.enrol(batch)
        self.started = self.started or (int(rows.at[batch.enrolments[0]]) if len(batch.enrolments) else 0)
        self.since = self.since or self.started
        paths = [bets.play(batch, self.cohort) for bets in self.bets]
        walk = _walk(self.bets, paths, batch, self.alpha)
        for bets, path, row in zip(self.bets, paths, walk.moves[-1], strict=True):
            bets.settle(path, int(row))
        self._turn(walk)
        self.cohort.note_harm(rows, walk.taken)
        self.rows += walk.taken
        self.late += int((rows.code[: walk.taken] == Code.LATE).sum())
        return walk

    def e_value_log10(self) -> float:
        """The largest of the guards' harm e-values, each times the guard's weight, as a logarithm (base 10)."""
        return max(weighted_harm(bets) for bets in self.bets)

    def first_drawn(self) -> tuple[int, int]:
        """How many canaries and controls the first draws of all sites had: later waves are cut otherwise."""
        first = [number for name, number in self.roster.strata.items() if name.endswith("\0")]
        canary = self.cohort.canary[np.isin(self.cohort.stratum, first)]
        return int(canary.sum()), int((~canary).sum())

    def comparable(self) -> bool:
        """Whether any stratum has both arms at risk of anything."""
        return any(bool((bets.exposure.at_risk > 0).all(axis=1).any()) for bets in self.bets)

    def _turn(self, walk: Walk) -> None:
        changes = np.flatnonzero(np.diff(walk.codes))
        if changes.size:
            self.since = int(walk.at[changes[-1]])
        passed = np.flatnonzero(walk.codes[1:] == PASSED)
        if passed.size and not self.passed_at:
            self.passed_at = int(walk.at[passed[0]])
        self.outcome = CODES[int(walk.codes[-1])]
        if self.outcome is Outcome.FAIL:
            self.failed_at = self.since
            self.guilty = max(self.bets, key=weighted_harm).guard.name


def new_gate(guards: Sequence[Guard], alpha: float) -> Gate:
    """A gate that has seen no evidence."""
    roster = new_roster(guards)
    return Gate(alpha=alpha, bets=new_bets(guards, roster.metrics), roster=roster)


def weighted_harm(bets: Bets) -> float:
    """log10 of weight times harm e-value."""
    return float(weighted(np.array(bets.log10_harm), bets.weight))


def _walk(bets: Sequence[Bets], paths: Sequence[Path], batch: Batch, alpha: float) -> Walk:
    moves = np.stack([np.searchsorted(path.run, np.arange(-1, batch.runs), side="right") for path in paths], axis=1)
    both = list(zip(bets, paths, moves.T, strict=True))
    harm = np.stack([weighted(path.log10_harm, one.weight)[at] for one, path, at in both])
    safe = np.stack([path.log10_safe[at] for _, path, at in both])
    # Bricked devices are seen by no other guard than one that watches silence.
    can_pass = any(one.guard.kind is GuardKind.SILENCE for one in bets)
    codes = np.where(fails(harm, alpha), FAILED, (passes(safe, alpha) & can_pass).astype(np.int64))
    failed = np.flatnonzero(codes == FAILED)
    last = int(failed[0]) if failed.size else batch.runs
    first_rows = np.searchsorted(batch.run, np.arange(batch.runs + 1))
    return Walk(
        at=batch.rows.at[first_rows[:last]],
        codes=codes[: last + 1],
        harm=harm[:, : last + 1],
        safe=safe[:, : last + 1],
        moves=moves[: last + 1],
        taken=int(first_rows[last]),
    )
