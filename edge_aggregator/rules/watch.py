"""One rule over all series: who is pending, who fires, and what changes with each window. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.rules.judgement import Before, judge, statistic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_aggregator.rules.config import RuleConfig
    from edge_aggregator.windows.rollups import Rollups


class Stage(IntEnum):
    """Where an alarm stands."""

    IDLE = 0
    PENDING = 1
    FIRING = 2


class Change(NamedTuple):
    """A series whose stage or streak changed with the window that ended at `at` (ms); `since`: the start of the first."""

    series: int
    before: Stage
    stage: Stage
    streak: int
    since: int
    at: int
    value: float


class Watch:
    """`columns`, one row a series: stage, streak (windows in a row that entered), since (ms), newest (the start of the

    newest window judged), value and end of the window before.
    """

    def __init__(self, rule: RuleConfig) -> None:
        self.rule = rule
        self.columns = Columns(
            {
                "watched": ("?", 0),
                "stage": ("u1", Stage.IDLE),
                "streak": ("i8", 0),
                "since": ("i8", 0),
                "newest": ("i8", -1),
                "value": ("f8", np.nan),
                "end": ("i8", 0),
            }
        )

    def step(self, rows: Rollups) -> list[Change]:
        """Judge windows, sorted by series and start; those older than what was judged already say nothing."""
        rows = rows.rows(self.columns["watched"][rows.series])
        return [change for part in _rounds(rows) for change in self._round(part)]

    def end(self, series: int) -> None:
        """Nothing is wrong with a series any more, as far as this rule may say."""
        self.columns["stage"][series], self.columns["streak"][series] = Stage.IDLE, 0

    def restore(self, change: Change) -> None:
        """A series stands where it stood."""
        for name in ("stage", "streak", "since"):
            self.columns[name][change.series] = getattr(change, name)
        self.columns["newest"][change.series] = change.at - 1

    def _round(self, rows: Rollups) -> Iterator[Change]:
        columns, rows = self.columns, rows.rows(rows.start > self.columns["newest"][rows.series])
        series, end = rows.series, rows.start + rows.width
        found = judge(self.rule, rows, Before(columns["value"][series], columns["end"][series]))
        columns["newest"][series], columns["end"][series] = rows.start, end
        columns["value"][series] = statistic(self.rule, rows)
        stage, streak = columns["stage"][series], columns["streak"][series]
        firing = stage == Stage.FIRING
        run = np.where(found.enter & ~firing, streak + 1, 0)
        since = np.where(run == 1, rows.start, columns["since"][series])
        fires = run >= self.rule.for_windows
        then = np.where(fires | (firing & ~found.leave), Stage.FIRING, np.where(run > 0, Stage.PENDING, Stage.IDLE))
        columns["stage"][series], columns["streak"][series], columns["since"][series] = then, run, since
        changed = np.flatnonzero((then != stage) | ((run != streak) & ~firing))
        parts: list[NDArray[np.float64] | NDArray[np.int64]] = [series, stage, then, run, since, end, found.value]
        for number, before, after, length, begun, at, value in zip(
            *(part[changed].tolist() for part in parts), strict=True
        ):
            yield Change(number, Stage(before), Stage(after), length, begun, at, value)


def _rounds(rows: Rollups) -> Iterator[Rollups]:
    # Each round has at most one window of a series, the oldest first.
    first = np.append(True, rows.series[1:] != rows.series[:-1])[: len(rows.series)]
    place = np.arange(len(first))
    rank = place - np.maximum.accumulate(np.where(first, place, 0))
    for number in range(int(rank.max()) + 1 if len(rank) else 0):
        yield rows.rows(rank == number)
