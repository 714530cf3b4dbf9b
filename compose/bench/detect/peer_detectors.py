"""What users would pick instead of a detector of ours: their packages' own defaults, points one at a time.

River, PySAD and scikit-learn are installed for development only. (rrcf is not compared: its last release, of 2023, asks
for `pkg_resources`, which setuptools has given up.)
"""

from __future__ import annotations

import importlib
import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from compose.bench.load import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

_HOUR = 60
_SEED = 1


class Peer(NamedTuple):
    """`score`: of values (rows, metrics), f8 and finite, and how many first rows are there to be learned from: (rows,), f8.

    The score of a row knows of no later one. `slow`: not given the whole of the set with the most points.
    """

    score: Callable[[Scores, int], Scores]
    slow: bool = False


def prometheus_z() -> Callable[[float], float]:
    """The last sixty points' mean and standard deviation, as `avg_over_time` and `stddev_over_time` have it."""
    past: deque[float] = deque(maxlen=_HOUR)
    total = squares = 0.0

    def score(value: float) -> float:
        nonlocal total, squares
        count = len(past)
        mean = total / count if count else value
        spread = math.sqrt(max(squares / count - mean**2, 0.0)) if count else 0.0
        found = abs(value - mean) / max(spread, 1e-9) if count == _HOUR else 0.0
        oldest = past[0] if count == _HOUR else 0.0
        total += value - oldest
        squares += value**2 - oldest**2
        past.append(value)
        return found

    return score


def river_gaussian() -> Callable[[float], float]:
    """River's GaussianScorer: how far in the tails of a running normal distribution."""
    scorer = _package("river.anomaly").GaussianScorer()

    def score(value: float) -> float:
        found = float(scorer.score_one(None, value))
        scorer.learn_one(None, value)
        return found

    return score


def river_half_space_trees() -> Callable[[Sequence[float]], float]:
    """River's HalfSpaceTrees behind its MinMaxScaler, as its documentation advises; of all metrics."""
    scaler = _package("river.preprocessing").MinMaxScaler()
    trees = _package("river.anomaly").HalfSpaceTrees(seed=_SEED)

    def score(row: Sequence[float]) -> float:
        point = dict(enumerate(row))
        scaler.learn_one(point)
        scaled = scaler.transform_one(point)
        found = float(trees.score_one(scaled))
        trees.learn_one(scaled)
        return found

    return score


def pysad_xstream() -> Callable[[Sequence[float]], float]:
    """PySAD's xStream, of all metrics."""
    np.random.seed(_SEED)  # noqa: NPY002 - the package draws from there
    stream = _package("pysad.models").xStream()
    return lambda row: float(np.asarray(stream.fit_score_partial(np.array(row))).item())


def isolation_forest(values: Scores, learned: int) -> Scores:
    """scikit-learn's IsolationForest, fitted once on the rows to learn from, which score 0 themselves.

    A fitted forest says of a row what it says of that row alone, so that the others are scored in one call: one at a time
    costs a hundred times as much.
    """
    forest = _package("sklearn.ensemble").IsolationForest(random_state=_SEED).fit(values[:learned])
    return np.concatenate([np.zeros(learned), -forest.score_samples(values[learned:])])


def greatest(make: Callable[[], Callable[[float], float]]) -> Callable[[Scores, int], Scores]:
    """A detector for each metric; of their scores the greatest, as of an alert rule for each."""
    return lambda values, _: _each(make, values).max(axis=1)


def averaged(make: Callable[[], Callable[[float], float]]) -> Callable[[Scores, int], Scores]:
    """A detector for each metric; the mean of their scores."""
    return lambda values, _: _each(make, values).mean(axis=1)


def together(make: Callable[[], Callable[[Sequence[float]], float]]) -> Callable[[Scores, int], Scores]:
    """One detector for rows of all metrics."""

    def score(values: Scores, _: int) -> Scores:
        detector = make()
        return np.array([detector(row) for row in values.tolist()])

    return score


FOR_ROWS = {
    "prometheus_z": Peer(greatest(prometheus_z)),
    "prometheus_z_mean": Peer(averaged(prometheus_z)),
    "river_gaussian": Peer(greatest(river_gaussian)),
    "river_gaussian_mean": Peer(averaged(river_gaussian)),
    "river_half_space_trees": Peer(together(river_half_space_trees)),
    "pysad_xstream": Peer(together(pysad_xstream), slow=True),
    "isolation_forest": Peer(isolation_forest),
}
"""Of several metrics: those that know one metric only are tried in two ways."""
FOR_SERIES = {name: peer for name, peer in FOR_ROWS.items() if not name.endswith("_mean")}
"""Of a single metric, of which the mean is the greatest."""


def _each(make: Callable[[], Callable[[float], float]], values: Scores) -> Scores:
    detectors = [make() for _ in range(values.shape[1])]
    return np.array([list(map(one, column)) for one, column in zip(detectors, values.T.tolist(), strict=True)]).T


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BenchFailedError(f"{name} is not installed; it is one of the packages for development") from error
