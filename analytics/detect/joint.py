"""The second stage of one device: all of its metrics together, window by window, and which of them is the likeliest cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.detect.round import LARGEST, REBASELINE_WINDOWS, Change
from analytics.detect.together_alarms import BEGAN_BEFORE, JointAlarms
from analytics.detectors.root_cause import BEFORE, moved, ranked, shares
from analytics.detectors.together import WARM_UP, Together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.together_pool import JointPool

LEAST_METRICS, MOST_METRICS = 2, 64
"""One metric has no company; the cost grows with the square of their number."""
MOST_MISSING = 0.5
"""A window in which more of the metrics are missing is passed over; else what is missing is as the others let expect it."""


class JointOutcome(NamedTuple):
    """What a window meant. `rarity`: minus the logarithm of its probability; `moves` (metrics,): in shares of their ranges, 0

    without an alarm; `since` (ms) of the alarm that lasts or has just ended. `distance` and `surprise`: the score and the
    surprise of this window alone, see `Distance`.
    """

    change: Change
    alarm: bool
    rarity: float
    since: int
    moves: NDArray[np.float64]
    distance: float
    surprise: float


class Joint:
    """One device with `metrics` numbers a window; the pool is its class's."""

    def __init__(self, metrics: int) -> None:
        self._together, self._alarms = Together(1, metrics), JointAlarms(1)
        self._last = np.full(metrics, np.nan)
        self._before = np.zeros((0, metrics))
        """The newest windows; while an alarm lasts: those before it."""
        self._farthest = np.zeros(metrics)

    @property
    def seen(self) -> int:
        """Windows looked at."""
        return self._together.seen

    def step(self, values: NDArray[np.float64], end: int, pool: JointPool, rebaseline_ms: int) -> JointOutcome | None:
        """Take a window that ends at `end` (ms), shape (metrics,), NaN where nothing was reported; None: not looked at."""
        missing = ~np.isfinite(values)
        if missing.mean() > MOST_MISSING:
            return None
        values = self._filled(np.where(missing, np.nan, np.clip(values, -LARGEST, LARGEST)))
        self._last = values
        if np.isnan(values).any():
            return None
        distance, surprise = self._together.step(values[None, :])
        patience = max(rebaseline_ms, REBASELINE_WINDOWS * pool.width)
        changed = self._alarms.step(surprise, np.array([pool.enter]), np.array([end]), pool.width, patience)
        change, alarm = Change(int(changed.change[0])), bool(changed.alarm[0])
        if not alarm and change is Change.NOTHING:
            pool.add(self.seen, float(changed.middle[0]))
        moves = self._moves(values, change, alarm=alarm)
        return JointOutcome(
            change=change,
            alarm=alarm,
            rarity=pool.rarity(float(changed.middle[0])),
            since=int(changed.since[0]),
            moves=moves,
            distance=float(distance[0]),
            surprise=float(surprise[0]),
        )

    def metric(self, number: int) -> tuple[float, float, float]:
        """Of one metric: its newest value, what is expected, its scale."""
        usual = self._together.usual()
        return float(self._last[number]), float(usual.level[0, number]), float(usual.scale[0, number])

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        arrays = [array.tobytes() for array in (self._last, self._before, self._farthest)]
        return msgspec.msgpack.encode((self._together.dump(), self._alarms.dump(), arrays))

    @classmethod
    def restored(cls, dumped: bytes) -> Joint:
        """As it was when it was dumped."""
        together, alarms, arrays = msgspec.msgpack.decode(dumped, type=tuple[bytes, bytes, list[bytes]])
        last, before, farthest = (np.frombuffer(array, np.float64).copy() for array in arrays)
        found = cls(len(last))
        found._together, found._alarms = Together.restored(together), JointAlarms.restored(alarms)
        found._last, found._before, found._farthest = (
            last,
            before.reshape(len(before) // max(len(last), 1), len(last)),
            farthest,
        )
        return found

    def _filled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        missing = np.isnan(values)
        if missing.any() and self.seen > WARM_UP:
            return self._together.likely(0, values)
        return np.where(missing, self._last, values)

    def _moves(self, values: NDArray[np.float64], change: Change, *, alarm: bool) -> NDArray[np.float64]:
        if change is Change.ENTERED:
            both = np.vstack([self._before, values])
            self._before = both[: -BEGAN_BEFORE - 1]
            self._farthest = moved(self._before, both[-BEGAN_BEFORE - 1 :])
        elif alarm:
            self._farthest = np.maximum(self._farthest, moved(self._before, values[None, :]))
        else:
            self._before = np.vstack([self._before, values])[-BEFORE - BEGAN_BEFORE :]
            return np.zeros(len(values)) if change is Change.NOTHING else self._shares()
        return self._shares()

    def _shares(self) -> NDArray[np.float64]:
        usual = self._together.usual()
        return shares(self._farthest, usual.low[0], usual.high[0])


def likeliest(moves: NDArray[np.float64], most: int) -> list[int]:
    """The numbers of the metrics that moved, the likeliest cause first, so many of them at the most."""
    return [number for number in ranked(moves)[:most] if moves[number] > 0]
