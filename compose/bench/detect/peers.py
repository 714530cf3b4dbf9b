"""What users would pick instead of a detector of ours: their packages' own defaults, points one at a time.

River and PySAD are installed for development only. (rrcf is not compared: its last release, of 2023, asks for
`pkg_resources`, which setuptools has given up.)
"""

from __future__ import annotations

import importlib
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from compose.bench.detect.nab_score import PROFILES, join, probation, rows_of, sweep
from compose.bench.detect.run import DEFAULT_RATE, NAB_WIDTH
from compose.bench.detect.side_by_side import watch_values
from compose.bench.load import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compose.bench.detect.sets import Recording

_HOUR = 60
_SEED = 1


class Peer(NamedTuple):
    """`make` gives a fresh detector: from the next value to its score. `slow`: for small sets only."""

    make: Callable[[], Callable[[float], float]]
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


def river_half_space_trees() -> Callable[[float], float]:
    """River's HalfSpaceTrees behind its MinMaxScaler, as its documentation advises."""
    scaler = _package("river.preprocessing").MinMaxScaler()
    trees = _package("river.anomaly").HalfSpaceTrees(seed=_SEED)

    def score(value: float) -> float:
        point = {"value": value}
        scaler.learn_one(point)
        scaled = scaler.transform_one(point)
        found = float(trees.score_one(scaled))
        trees.learn_one(scaled)
        return found

    return score


def pysad_xstream() -> Callable[[float], float]:
    """PySAD's xStream."""
    np.random.seed(_SEED)  # noqa: NPY002 - the package draws from there
    stream = _package("pysad.models").xStream()
    return lambda value: float(np.asarray(stream.fit_score_partial(np.array([value]))).item())


PEERS = {
    "prometheus_z": Peer(prometheus_z),
    "river_gaussian": Peer(river_gaussian),
    "river_half_space_trees": Peer(river_half_space_trees),
    "pysad_xstream": Peer(pysad_xstream, slow=True),
}
OURS = "tidegate"
SMALL = "realAdExchange"
"""The part of NAB that the slow ones are given too."""


def small(files: Sequence[Recording]) -> list[Recording]:
    """The part of the set that is small enough for all."""
    return [file for file in files if file.name.startswith(SMALL)]


def measure_peer(name: str, files: Sequence[Recording]) -> dict[str, float]:
    """NAB's score at the best threshold by profile, and points per second of CPU."""
    scores, spent = [], 0.0
    for file in files:
        detector, values = PEERS[name].make(), file.values[:, 0].tolist()
        began = time.process_time()
        found = [detector(value) for value in values]
        spent += time.process_time() - began
        scores.append(np.array(found))
    points = sum(len(file.times) for file in files)
    return nab_scores(files, scores) | {"points_per_core_second": round(points / max(spent, 1e-9))}


def measure_ours(files: Sequence[Recording]) -> dict[str, float]:
    """The same of the engine; its points per second are of so few series, not of the thousands that it is made for."""
    began = time.process_time()
    watched = watch_values(files, DEFAULT_RATE, NAB_WIDTH)
    spent = time.process_time() - began
    points = sum(len(file.times) for file in files)
    found = nab_scores(files, [one.begun for one in watched])
    return found | {"points_per_core_second": round(points / max(spent, 1e-9))}


def nab_scores(files: Sequence[Recording], scores: Sequence[Any]) -> dict[str, float]:
    """At the best threshold of each profile, of these files alone."""
    rows = join([rows_of(len(f.times), [(int(a), int(b)) for a, b in f.events]) for f in files])
    scored = np.concatenate([s[probation(len(f.times)) :] for f, s in zip(files, scores, strict=True)])
    return {f"nab_{name}": round(sweep(rows, scored, profile).best(), 2) for name, profile in PROFILES.items()}


def run_peers(files: Sequence[Recording], told: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Every peer on the small part, the quick ones on the whole set; `told` is told of each of `peer_runs`."""
    found: dict[str, Any] = {"whole": {}, SMALL: {OURS: measure_ours(small(files))}}
    told(1)
    for name, peer in PEERS.items():
        if not peer.slow:
            found["whole"][name] = measure_peer(name, files)
            told(1)
        found[SMALL][name] = measure_peer(name, small(files))
        told(1)
    return {"peers": found}


def peer_runs() -> int:
    """How many there are in `run_peers`."""
    return 1 + sum(1 if peer.slow else 2 for peer in PEERS.values())


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BenchFailedError(f"{name} is not installed; it is one of the packages for development") from error
