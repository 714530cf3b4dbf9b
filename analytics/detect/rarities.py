"""How rare windows are by the pooled tails, detector by detector and merged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analytics.calibrate import EDGES, tail_rarity
from analytics.detect.merge import TERMS, Detector, Merged, merge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.pools import Pools
    from analytics.detect.round import Outcome


def merged(pools: Pools, cohorts: NDArray[np.int16], found: Outcome) -> Merged:
    """How rare each row is by all detectors that speak for it."""
    rarities = np.zeros((len(Detector), len(cohorts)))
    rarities[Detector.LEVEL] = _rarity(
        pools, Detector.LEVEL, cohorts, np.where(found.by_level, EDGES[found.surprise], 0.0)
    )
    _lend(pools, cohorts, rarities[Detector.LEVEL])
    own = np.where(found.by_novelty, found.rarity.astype(np.float64), 0.0)
    alone = pools.speaks(cohorts, np.full(len(cohorts), Detector.NOVELTY, np.uint8))
    rarities[Detector.NOVELTY] = np.where(alone, _rarity(pools, Detector.NOVELTY, cohorts, own), own)
    for detector, bins in (
        (Detector.STUCK, found.stuck),
        (Detector.DRIFT, found.drift),
        (Detector.UNREST, found.unrest),
    ):
        rarities[detector] = _rarity(pools, detector, cohorts, np.where(bins > 0, EDGES[bins], 0.0))
    return merge(rarities)


def rarity(pools: Pools, cohort: int, detector: Detector, surprise: int) -> float:
    """How rare one detector's surprise of this bin is, by its share."""
    tail = pools.tail(cohort, detector)
    alone = 0.0 if tail is None else float(tail_rarity(tail, EDGES[[surprise]])[0])
    return max(0.0, alone + math.log(TERMS[detector].share))


def _rarity(
    pools: Pools, detector: Detector, cohorts: NDArray[np.int16], surprises: NDArray[np.float64]
) -> NDArray[np.float64]:
    found = np.zeros(len(cohorts))
    for cohort in np.unique(cohorts[surprises > 0]):
        tail = pools.tail(int(cohort), detector)
        if tail is not None:
            rows = (cohorts == cohort) & (surprises > 0)
            found[rows] = tail_rarity(tail, surprises[rows])
    return found


def _lend(pools: Pools, cohorts: NDArray[np.int16], level: NDArray[np.float64]) -> None:
    for cohort in np.unique(cohorts[level > 0]):
        rows = (cohorts == cohort) & (level > 0)
        level[rows] += math.log(pools.share(int(cohort), Detector.LEVEL) / TERMS[Detector.LEVEL].share)
