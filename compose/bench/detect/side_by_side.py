"""All recordings of a set as devices of their own, row by row: the n-th window of each at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.recording import detect_devices, usual_step
from analytics.detect.round import REBASELINE_WINDOWS
from analytics.detect.together_alarms import JointAlarms
from analytics.detect.together_pool import JointPool
from analytics.detectors.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from compose.bench.detect.sets import Recording


class Watched(NamedTuple):
    """Of one recording's rows, shape (rows,): the rarity where something new begins, and the alarm."""

    begun: NDArray[np.float64]
    alarm: NDArray[np.bool_]


def watch_values(recordings: Sequence[Recording], rate: float, width_ms: int) -> list[Watched]:
    """The first metric of each, by its own past."""
    found = detect_devices([(r.times, r.values[:, :1]) for r in recordings], rate, width_ms)
    return [Watched(f.begun[:, 0].astype(np.float64), f.alert[:, 0]) for f in found]


class Distances(NamedTuple):
    """Of one recording, shape (rows,): the distance of all metrics together, and how surprising it is by its own past."""

    score: NDArray[np.float64]
    surprise: NDArray[np.float64]


def watch_together(recordings: Sequence[Recording]) -> list[Distances]:
    """All metrics of each recording together; a recording that is over repeats its last row, unlooked at."""
    together = Together(len(recordings), recordings[0].values.shape[1])
    found = [Distances(*np.zeros((2, len(r.times)))) for r in recordings]
    for row in range(max(len(r.times) for r in recordings)):
        distance = together.step(np.array([r.values[min(row, len(r.times) - 1)] for r in recordings]))
        for number, recording in enumerate(recordings):
            if row < len(recording.times):
                found[number].score[row] = distance.score[number]
                found[number].surprise[row] = distance.surprise[number]
    return found


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
