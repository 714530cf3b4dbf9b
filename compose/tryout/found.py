"""What detection says of tables: the very windows, one after another, that `tidegate detect` and its bench look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.recording import DEFAULT_RATE, detect_devices
from analytics.detect.recording_together import detect_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from analytics.detect.recording import Detection
    from analytics.detect.recording_together import JointDetection
    from compose.tryout.table import Table


class Found(NamedTuple):
    """All that detection says of a table; `joint` where it has several metrics."""

    table: Table
    single: Detection
    joint: JointDetection | None

    def alert(self) -> NDArray[np.bool_]:
        """Where a metric alarms, or all together do; shape (rows,)."""
        alone: NDArray[np.bool_] = np.logical_or.reduce(self.single.alert, axis=1)
        return alone if self.joint is None else alone | self.joint.alert

    def speaks(self) -> NDArray[np.bool_]:
        """Where there is a reason: of an alarm, or of its end because it had lasted; shape (rows,)."""
        ended: NDArray[np.bool_] = np.logical_or.reduce(self.single.new_normal, axis=1)
        return self.alert() | (ended if self.joint is None else ended | self.joint.new_normal)

    def score(self) -> NDArray[np.float64]:
        """0 to 1, shape (rows,): of all metrics together where there are several, and of a single one where it alarms.

        A single metric is not looked at otherwise: the highest of many scores says little.
        """
        if self.joint is None:
            return _highest(self.single.score)
        return np.maximum(self.joint.score, _highest(np.where(self.single.alert, self.single.score, 0.0)))


def detect_tables(
    tables: Sequence[Table],
    rate: float = DEFAULT_RATE,
    told: Callable[[int], None] = lambda _: None,
    *,
    are_alike: bool = True,
) -> list[Found]:
    """Look at every table, the n-th row of each at once; `told` is told twice of each row that is done.

    `are_alike`: five or more with the same metrics are judged by what is rare among all of them; without it each table is
    judged as if it were looked at by itself.
    """
    devices = [(table.times, table.values) for table in tables]
    metrics = [table.metrics for table in tables] if are_alike else ()
    single = detect_devices(devices, rate, metrics=metrics, told=told)
    joint = detect_together(devices, rate, metrics=metrics, told=told)
    return [Found(*one) for one in zip(tables, single, joint, strict=True)]


def _highest(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    highest: NDArray[np.float64] = scores.max(axis=1, initial=0.0)
    return highest
