"""What all detectors of the round say of a block's rows, taken together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.by_slow import alarm_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.by_level import ByLevel
    from analytics.detect.by_novelty import ByNovelty
    from analytics.detect.by_slow import BySlow
    from analytics.detect.by_stuck import ByStuck
    from analytics.detect.round import Outcome


class Looks(NamedTuple):
    """One look of each detector."""

    level: ByLevel
    novel: ByNovelty
    stuck: ByStuck
    drift: BySlow
    unrest: BySlow

    def hits(self) -> NDArray[np.bool_]:
        """Which rows any detector finds rarer than asked for."""
        hits = self._sudden()
        for slow in (self.drift, self.unrest):
            hits[slow.rows] |= slow.hits
        return hits

    def calms(self) -> NDArray[np.bool_]:
        """Which rows are well below what it takes, by every detector that has a say in it."""
        calms = self.level.calms.copy()
        calms[self.novel.rows] &= self.novel.calms
        calms[self.stuck.rows] = False
        for slow in (self.drift, self.unrest):
            calms[slow.rows] &= ~slow.holds
        return calms

    def windows(self) -> NDArray[np.integer]:
        """For how many windows it has been so, shape (rows,)."""
        windows = np.where(self.level.hits & self.level.hit_two_ago, 2, 1)
        windows[self.stuck.rows[self.stuck.hits]] = self.stuck.repeats[self.stuck.hits]
        return windows

    def alarms(self) -> NDArray[np.uint8]:
        """What `alarm` is to hold of each row if one begins: who alone begins it also holds it."""
        sudden = self._sudden()
        alarms = np.ones(len(sudden), np.uint8)
        for slow in (self.unrest, self.drift):
            alone = slow.rows[slow.hits]
            alarms[alone[~sudden[alone]]] = alarm_of(slow.detector)
        return alarms

    def tell(self, outcome: Outcome) -> None:
        """Write what each detector found."""
        novel, stuck = self.novel, self.stuck
        outcome.rarity[novel.rows], outcome.begun[novel.rows] = novel.rarity, novel.begun
        outcome.by_novelty[novel.rows] = novel.speaks
        outcome.stuck[stuck.rows] = np.where(stuck.speaks, stuck.bins, np.uint8(0))
        outcome.drift[self.drift.rows], outcome.unrest[self.unrest.rows] = self.drift.bins, self.unrest.bins

    def _sudden(self) -> NDArray[np.bool_]:
        hits = self.level.hits.copy()
        hits[self.novel.rows] |= self.novel.hits
        hits[self.stuck.rows] |= self.stuck.hits
        return hits
