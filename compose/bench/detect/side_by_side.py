"""All recordings of a set as devices of their own, through what serves `tidegate detect`: the n-th window of each at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.recording import detect_devices, usual_step
from analytics.detect.recording_together import detect_together
from analytics.detect.round import REBASELINE_WINDOWS
from analytics.detect.together_alarms import JointAlarms
from analytics.detect.together_pool import JointPool
from compose.tryout.found import detect_tables
from compose.tryout.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analytics.detect.recording_together import JointDetection
    from compose.bench.detect.sets import Recording
    from compose.tryout.found import Found


class Watched(NamedTuple):
    """Of one recording's rows, shape (rows,): the rarity where something new begins, and the alarm."""

    begun: NDArray[np.float64]
    alarm: NDArray[np.bool_]


def watch_values(recordings: Sequence[Recording], rate: float, width_ms: int) -> list[Watched]:
    """The first metric of each, by its own past."""
    found = detect_devices([(r.times, r.values[:, :1]) for r in recordings], rate, width_ms)
    return [Watched(f.begun[:, 0].astype(np.float64), f.alert[:, 0]) for f in found]


def watch_together(recordings: Sequence[Recording]) -> list[JointDetection]:
    """All metrics of each together, by its own past; every recording has several."""
    found = detect_together([(r.times, r.values) for r in recordings])
    return [one for one in found if one is not None]


def watch_files(recordings: Sequence[Recording]) -> list[Found]:
    """Each as `tidegate detect` looks at its file alone."""
    return detect_tables([Table(r.name, r.metrics, r.times, r.values, (), 0) for r in recordings], are_alike=False)


def alarms_together(recording: Recording, surprise: NDArray[np.float64], rates: Sequence[float]) -> NDArray[np.bool_]:
    """Where a recording alarms by its own past at each target rate, shape (rows, rates)."""
    width = usual_step(recording.times)
    pools = [JointPool(rate, width) for rate in rates]
    asked = np.array([pool.enter for pool in pools])
    patience = max(round(DetectConfig().rebaseline_s * 1000), REBASELINE_WINDOWS * width)
    alarms, found = JointAlarms(len(rates)), np.zeros((len(surprise), len(rates)), np.bool_)
    for row, one in enumerate(surprise):
        end = np.full(len(rates), recording.times[row] + width)
        found[row] = alarms.step(np.full(len(rates), one), asked, end, width, patience).alarm
    return found
