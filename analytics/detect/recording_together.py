"""The second stage on arrays: all metrics of each device together, through the step that runs live."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detect.config import DetectConfig
from analytics.detect.joint import LEAST_METRICS, MOST_METRICS, Joint
from analytics.detect.recording import DEFAULT_RATE, usual_step
from analytics.detect.round import Change
from analytics.detect.score import score
from analytics.detect.together_pool import JointPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class JointDetection(NamedTuple):
    """Of each row, shape (rows,): `score` 0 to 1, one half where it is as rare as asked for; `alert`; `entered`, `new_normal`:

    where an alarm begins, and where one ends because it had lasted. `rarity`: minus the logarithm of the probability, of two
    windows of three; `distance` and `surprise`: of each window alone, before any calibration, see `Distance`.
    `moves` (rows, metrics): how far each metric has moved since the alarm began, in shares of its range, 0 without one: the
    greatest is the likeliest cause. `pooled`: devices of its class say what is rare, not its own past.
    """

    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    entered: NDArray[np.bool_]
    new_normal: NDArray[np.bool_]
    rarity: NDArray[np.float64]
    distance: NDArray[np.float64]
    surprise: NDArray[np.float64]
    moves: NDArray[np.float32]
    pooled: bool


def detect_together(
    devices: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
    rate: float = DEFAULT_RATE,
    width_ms: int | None = None,
    metrics: Sequence[Sequence[str]] = (),
    told: Callable[[int], None] = lambda _: None,
) -> list[JointDetection | None]:
    """Watch all metrics of each device together; see `detect_devices` for what the arguments are.

    Five or more devices that name the same metrics are a class, and pooled. None for a device with fewer than two metrics,
    or more than 64.
    """
    config = DetectConfig(false_alerts_per_1k_series_day=rate)
    pools: dict[object, JointPool] = {}
    watched = []
    for device, (times, values) in enumerate(devices):
        width = width_ms or usual_step(times)
        names = tuple(metrics[device]) if metrics else device
        pool = pools.setdefault((names, width), JointPool(rate, width))
        pool.members += 1
        watched.append(_Watched(times, values, pool, round(config.rebaseline_s * 1000)))
    for row in range(max((len(times) for times, _ in devices), default=0)):
        for one in watched:
            one.step(row)
        told(1)
    return [one.found() for one in watched]


class _Watched:
    def __init__(
        self, times: NDArray[np.int64], values: NDArray[np.float64], pool: JointPool, rebaseline_ms: int
    ) -> None:
        self._times, self._values, self._pool, self._rebaseline_ms = times, values, pool, rebaseline_ms
        rows, metrics = values.shape
        self._joint = Joint(metrics) if LEAST_METRICS <= metrics <= MOST_METRICS else None
        self._end = 0
        self._rarity, self._distance, self._surprise = np.zeros((3, rows))
        self._moves = np.zeros(values.shape, np.float32)
        self._alert, self._change = np.zeros(rows, np.bool_), np.zeros(rows, np.uint8)

    def step(self, row: int) -> None:
        if self._joint is None or row >= len(self._times):
            return
        self._end = max(int(self._times[row]) + self._pool.width, self._end + 1)
        found = self._joint.step(self._values[row], self._end, self._pool, self._rebaseline_ms)
        if found is not None:
            self._rarity[row], self._alert[row], self._change[row] = found.rarity, found.alarm, found.change
            self._distance[row], self._surprise[row] = found.distance, found.surprise
            self._moves[row] = found.moves if found.alarm else 0.0

    def found(self) -> JointDetection | None:
        if self._joint is None:
            return None
        return JointDetection(
            score=score(self._rarity, np.array(self._pool.asked_rarity)),
            alert=self._alert,
            entered=self._change == Change.ENTERED,
            new_normal=self._change == Change.NEW_NORMAL,
            rarity=self._rarity,
            distance=self._distance,
            surprise=self._surprise,
            moves=self._moves,
            pooled=not self._pool.is_alone,
        )
