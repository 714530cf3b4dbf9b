"""Metrics of one device looked at together: how far it is from how its metrics usually move with each other.

Values are measured from a slow robust mean in robust scales; then, at three speeds of smoothing, the squared Mahalanobis
distance with a ridge (Hotelling 1947; the ridge keeps directions that hardly ever move from deciding alone, which a hard
cut of principal components does not). It is the residual of a smoothed principal component analysis and the distance within
the kept components in one number, without a number of components to choose. Scatter is learned with Huber's weights (Maronna
1976): the more a window stands out, the less it counts, so that a fault cannot become the measure of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEEDS = (1.0, 3.0, 20.0)
"""Windows that the smoothed distances look back."""
LEVEL_MEMORY = 3000.0
SCATTER_MEMORY = 20_000.0
CLIP = 3.0
FARTHEST = 50.0
"""Scales beyond which distances are not told apart."""
RIDGE = 0.05
"""Of the mean variance, added to each."""
WARM_UP = 100
"""So many windows make the first scatter."""
OUTLYING = 2.0
"""A window whose distance, per metric, is beyond counts less."""
REFIT_GROWTH = 0.02
YOUNG = 500
"""So many windows are learned as they come; from then on slower, and not what stands out."""
SLOWER = 3.0
STANDS_OUT = 5.0
"""Mean deviations of the score above its mean."""
REBASELINE = 1440
REBASELINE_SHARE = 0.5
"""What stands out for so many windows, or this share of those learned if that is fewer, is learned after all."""
UNCLIPPED = 20
LEAST_SPREAD = 0.05
"""No spread of the score, a sum of logarithms, is taken for less."""
FARTHEST_ABOVE = 1000.0
_TINY = 1e-12
RANGE_SHARE = 0.02
LEAST_SCALE = 5e-3
"""No metric's scale is taken for less than these shares of its range and of its level."""


class Together:
    """So many devices of one class, each with the same `metrics`; state as arrays, float64."""

    def __init__(self, devices: int, metrics: int) -> None:
        self.seen = 0
        self._fitted = 0
        self._learned = np.zeros(devices)
        self._level, self._variance = np.zeros((2, devices, metrics))
        self._low, self._high = np.full((devices, metrics), np.inf), np.full((devices, metrics), -np.inf)
        self._smooth = np.zeros((len(SPEEDS), devices, metrics))
        self._scatter = np.zeros((len(SPEEDS), devices, metrics, metrics))
        self._inverse = np.zeros_like(self._scatter)
        self._usual, self._spread, self._standing_out = np.zeros((3, devices))

    def step(self, values: NDArray[np.float64]) -> Distance:
        """One window of every device, shape (devices, metrics), finite: judge, then learn."""
        if self.seen == 0:
            self._level = values.copy()
        self._low, self._high = np.minimum(self._low, values), np.maximum(self._high, values)
        scale = self._scale()
        away = np.clip((values - self._level) / scale, -FARTHEST, FARTHEST)
        if self.seen >= max(WARM_UP, self._fitted * (1 + REFIT_GROWTH)):
            self._refit()
        for number, speed in enumerate(SPEEDS):
            self._smooth[number] += (away - self._smooth[number]) / min(speed, self.seen + 1)
        weighed = (self._inverse @ self._smooth[..., None])[..., 0]
        distances = np.maximum((self._smooth * weighed).mean(axis=-1), 0.0)
        score = np.log1p(distances).sum(axis=0)
        surprise = self._surprise(score)
        learns = self._may_learn(score)
        self._learn(values, scale, distances, learns)
        self.seen += 1
        return Distance(score, surprise)

    def likely(self, device: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of one device, shape (metrics,), with what is missing (NaN) as the others let expect it.

        The conditional mean of a normal distribution with the scatter of single windows. Only after `WARM_UP` windows.
        """
        missing = np.isnan(values)
        scale, level, inverse = self._scale()[device], self._level[device], self._inverse[0, device]
        away = np.clip((values - level) / scale, -FARTHEST, FARTHEST)
        away[missing] = -np.linalg.solve(
            inverse[np.ix_(missing, missing)], inverse[missing][:, ~missing] @ away[~missing]
        )
        return np.where(missing, level + away * scale, values)

    def usual(self) -> Usual:
        """What each metric is expected to be, and what it ever was."""
        return Usual(self._level, self._scale(), self._low, self._high)

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        arrays = {name: (array.shape, array.tobytes()) for name, array in self._arrays().items()}
        return msgspec.msgpack.encode((self.seen, self._fitted, arrays))

    @classmethod
    def restored(cls, dumped: bytes) -> Together:
        """As it was when it was dumped."""
        seen, fitted, arrays = msgspec.msgpack.decode(dumped, type=tuple[int, int, dict[str, tuple[list[int], bytes]]])
        found = cls(*arrays["_level"][0])
        found.seen, found._fitted = seen, fitted
        for name, (shape, content) in arrays.items():
            setattr(found, name, np.frombuffer(content, np.float64).reshape(shape).copy())
        return found

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def _surprise(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        # Nothing is surprising before it is known what is usual.
        if self.seen < YOUNG:
            return np.zeros(len(score))
        above = np.maximum(score - self._usual, 0.0) / np.maximum(self._spread, LEAST_SPREAD)
        return np.minimum(above, FARTHEST_ABOVE) ** 2

    def _may_learn(self, score: NDArray[np.float64]) -> NDArray[np.bool_]:
        # What stands out is not learned, unless it has lasted so long that this is how it is now.
        if self.seen < YOUNG:
            stands_out = np.zeros(len(score), np.bool_)
        else:
            stands_out = score > self._usual + STANDS_OUT * self._spread
        self._standing_out = np.where(stands_out, self._standing_out + 1, 0)
        learns = ~stands_out | (self._standing_out > np.minimum(REBASELINE, REBASELINE_SHARE * self._learned))
        if self.seen >= WARM_UP:
            newest = learns * np.maximum(1.0 / np.maximum(self._learned - WARM_UP + 1, 1.0), 1.0 / LEVEL_MEMORY)
            away = score - self._usual
            self._usual += newest * away
            self._spread += newest * (np.abs(away) * 1.25 - self._spread)
        return learns

    def _scale(self) -> NDArray[np.float64]:
        least = np.maximum(RANGE_SHARE * (self._high - self._low), LEAST_SCALE * np.abs(self._level))
        scale: NDArray[np.float64] = np.maximum(np.maximum(np.sqrt(self._variance), least), _TINY)
        return scale

    def _learn(
        self,
        values: NDArray[np.float64],
        scale: NDArray[np.float64],
        distances: NDArray[np.float64],
        learns: NDArray[np.bool_],
    ) -> None:
        residual = values - self._level
        clipped = np.clip(residual, -CLIP * scale, CLIP * scale) if self.seen >= UNCLIPPED else residual
        newest = (learns * _rate(self._learned, LEVEL_MEMORY))[:, None]
        self._variance += newest * (clipped**2 - self._variance)
        self._level += newest * clipped
        weight = OUTLYING / np.maximum(distances, OUTLYING)
        newest = weight * learns * _rate(self._learned, SCATTER_MEMORY)
        outer = self._smooth[..., :, None] * self._smooth[..., None, :]
        self._scatter += newest[..., None, None] * (outer - self._scatter)
        self._learned += learns

    def _refit(self) -> None:
        self._fitted = self.seen
        metrics = self._scatter.shape[-1]
        ridge = RIDGE * np.trace(self._scatter, axis1=-2, axis2=-1) / metrics + 1e-9
        self._inverse = np.linalg.inv(self._scatter + ridge[..., None, None] * np.eye(metrics))


def _rate(learned: NDArray[np.float64], memory: float) -> NDArray[np.float64]:
    old = np.maximum(1.0 / (SLOWER * (learned + 1)), 1.0 / memory)
    return np.where(learned < YOUNG, 1.0 / (learned + 1), old)


class Distance(NamedTuple):
    """Of each device, shape (devices,): the score, and its `surprise`, which is how far it is above its usual one.

    That is in spreads and squared, as chi-squared with one degree of freedom where scores are normal; 0 while it is young.
    """

    score: NDArray[np.float64]
    surprise: NDArray[np.float64]


class Usual(NamedTuple):
    """Of each metric, shape (devices, metrics): its level and scale, the least and the greatest value ever."""

    level: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
