"""The bets on devices whose soak is over: the rank bet on harm, pairs for harmlessness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from analytics.rollouts.eprocess import bounded, pairs, rank
from analytics.rollouts.eprocess.soak import margin_of, measures
from analytics.rollouts.eprocess.stakes import SAFE, harm_mixture
from analytics.rollouts.matching import Matching, Pairs
from ingest.contract.events import Guard, GuardKind, Worse

if TYPE_CHECKING:
    from analytics.rollouts.columns import Batch
    from analytics.rollouts.risk import Cohort, Happened

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Soaked(msgspec.Struct):
    """The values seen: sorted, per pool (changes and plain values apart), the pairs under way, and the pairs' scale."""

    pools: dict[int, np.ndarray] = {}
    matching: Matching = msgspec.field(default_factory=Matching)
    scale: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(2))

    def factors(self, guard: Guard, batch: Batch, cohort: Cohort, happened: Happened) -> tuple[Floats, Floats]:
        """Logarithms of the factors for harm and for harmlessness, (n, effects) and (n, safe effects)."""
        rows, device, effects = batch.rows, happened.device, harm_mixture(guard).effects
        values, own = measures(guard, rows.value[happened.row], rows.before[happened.row])
        canary = cohort.canary[device]
        paired = self.matching.add(cohort.stratum[device] * 2 + own, values, canary)
        safe = self._spread(self._safe(guard, paired, SAFE[guard.kind].effects), paired.place, len(device))
        if guard.kind is GuardKind.SHARE:
            harm = bounded.log_factors(_apart(guard, paired), effects, margin=0.0)
            return self._spread(harm, paired.place, len(device)), safe
        scores = self._scores(cohort.pool[device] * 2 + own, values)
        return rank.log_factors(scores, canary, happened.canaries, happened.controls, effects), safe

    def _scores(self, pool: Ints, values: Floats) -> Floats:
        scores = np.zeros(len(values))
        for name in np.unique(pool).tolist():
            ours = pool == name
            known = self.pools.get(name, np.zeros(0))
            scores[ours], self.pools[name] = rank.normal_scores(values[ours], known)
        return scores

    def _safe(self, guard: Guard, paired: Pairs, effects: Floats) -> Floats:
        # What may be worse in either direction is never shown to be harmless.
        if guard.worse is Worse.DIFFERENT:
            return np.zeros((len(paired.place), len(effects)))
        if guard.kind is GuardKind.SOAK:
            beyond = paired.canary - margin_of(guard) - paired.control
            factors, self.scale = pairs.log_factors(beyond, self.scale, effects)
            return factors
        return bounded.log_factors(-_apart(guard, paired), effects, margin=-margin_of(guard))

    def _spread(self, factors: Floats, place: Ints, rows: int) -> Floats:
        # A pair's factor belongs to the device that completed it.
        spread = np.zeros((rows, factors.shape[1]))
        spread[place] = factors
        return spread


def _apart(guard: Guard, paired: Pairs) -> Floats:
    apart: Floats = paired.canary - paired.control
    return np.sign(apart) if guard.kind is GuardKind.COUNT else apart
