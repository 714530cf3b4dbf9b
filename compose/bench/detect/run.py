"""The labelled sets, one configuration, one row of figures each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detectors.root_cause import BEFORE, moved, ranked, shares
from compose.bench.detect.nab_score import PROFILES, Rows, join, probation, rows_of, sweep
from compose.bench.detect.retrieval import NO_EPISODES, average_precision, count_episodes, first_ranked_right
from compose.bench.detect.sets import read_nab, read_skab, read_smd
from compose.bench.detect.side_by_side import alarms_together, watch_files, watch_values
from compose.bench.detect.vus import vus_pr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from compose.bench.detect.sets import Recording
    from compose.tryout.found import Found

DEFAULT_RATE = 0.1
RATES = (0.1, 1e-5, 1e-3, 10.0, 1e3, 1e5)
"""Target rates at which episodes are counted, the default first."""
RATES_TOGETHER = (DEFAULT_RATE, *(10.0**power for power in range(-12, 7) if power != -1))
NAB_WIDTH = 300_000
VUS_WINDOW = 100
SPLITS = 20
_PLACES = 4


def nab(folder: Path) -> dict[str, float]:
    """Scores by profile, at the best threshold and at the default one; F1 at the default rate over the best."""
    files = read_nab(folder)
    by_file = [rows_of(len(f.times), [(int(a), int(b)) for a, b in f.events]) for f in files]
    f1: dict[float, float] = {}
    for rate in RATES:
        watched = watch_values(files, rate, NAB_WIDTH)
        pairs = zip(files, watched, strict=True)
        counted = (count_episodes(w.alarm, f.events, probation(len(f.times))) for f, w in pairs)
        f1[rate] = sum(counted, start=NO_EPISODES).f1()
        if rate == DEFAULT_RATE:
            scores = [w.begun[probation(len(f.times)) :] for f, w in zip(files, watched, strict=True)]
            alarms = [_begins(w.alarm)[probation(len(f.times)) :] for f, w in zip(files, watched, strict=True)]
    figures = {}
    for name, profile in PROFILES.items():
        figures[f"nab_{name}"] = sweep(join(by_file), np.concatenate(scores), profile).best()
        figures[f"nab_{name}_default"] = sweep(join(by_file), np.concatenate(alarms), profile).at(1.0)
    figures["nab_split_loss"] = split_loss(by_file, scores)
    figures["nab_default_f1"] = f1[DEFAULT_RATE]
    figures["nab_default_over_best_f1"] = f1[DEFAULT_RATE] / max(f1.values())
    return _rounded(figures)


def split_loss(files: Sequence[Rows], scores: Sequence[NDArray[np.float64]]) -> float:
    """How much is lost when the threshold is chosen on half of the files and scored on the others, in points.

    The mean over `SPLITS` seeded splits, in both directions, standard profile.
    """
    losses = []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(files))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        swept = [
            sweep(join([files[n] for n in half]), np.concatenate([scores[n] for n in half]), PROFILES["standard"])
            for half in halves
        ]
        for chosen, scored in (swept, swept[::-1]):
            threshold = float(chosen.thresholds[int(chosen.scores.argmax())])
            losses.append(scored.best() - scored.at(threshold))
    return float(np.mean(losses))


def skab(folder: Path) -> dict[str, float]:
    """The mean of the files' average precision; F1 at the default rate over the best.

    By the distance of all metrics together; `skab_detect_auc_pr`: by the score that `tidegate detect` writes.
    """
    files = read_skab(folder)
    found = watch_files(files)
    figures = {
        "skab_auc_pr": skab_auc_pr(files, _distances(found)),
        "skab_detect_auc_pr": skab_auc_pr(files, [one.score() for one in found]),
    }
    return _rounded(figures | _f1_together("skab", files, found))


def skab_auc_pr(files: Sequence[Recording], scores: Sequence[NDArray[np.float64]]) -> float:
    """The mean of the files' average precision; scores of shape (rows,) for each."""
    return float(np.mean([average_precision(f.labels(), found) for f, found in zip(files, scores, strict=True)]))


def smd(folder: Path) -> dict[str, float]:
    """The mean of the machines' VUS-PR, how often the first-ranked metric is among an event's causes, the rest as above."""
    machines = read_smd(folder)
    found = watch_files(machines)
    first = [first_metric(machine, int(begin), int(end)) for machine in machines for begin, end in machine.events]
    causes = [set(cause) for machine in machines for cause in machine.causes]
    figures = {
        "smd_vus_pr": smd_vus_pr(machines, _distances(found)),
        "smd_detect_vus_pr": smd_vus_pr(machines, [one.score() for one in found]),
        "smd_rca_at1": first_ranked_right(first, causes),
    }
    return _rounded(figures | _f1_together("smd", machines, found))


def smd_vus_pr(machines: Sequence[Recording], scores: Sequence[NDArray[np.float64]]) -> float:
    """The mean of the machines' VUS-PR over the rows that are not there to be learned from; scores of shape (rows,) for each."""
    volumes = [
        vus_pr(machine.labels()[machine.unscored :], found[machine.unscored :], VUS_WINDOW)
        for machine, found in zip(machines, scores, strict=True)
    ]
    return float(np.mean(volumes))


def first_metric(machine: Recording, first: int, last: int) -> int:
    """The likeliest cause of what lasts from row `first` to `last`, by the ranking that incidents have."""
    so_far = machine.values[: last + 1]
    farthest = moved(so_far[max(0, first - BEFORE) : first], so_far[first:])
    return ranked(shares(farthest, so_far.min(axis=0), so_far.max(axis=0)))[0]


def _distances(found: Sequence[Found]) -> list[NDArray[np.float64]]:
    return [one.joint.distance for one in found if one.joint is not None]


def _f1_together(name: str, files: Sequence[Recording], found: Sequence[Found]) -> dict[str, float]:
    counted = [NO_EPISODES] * len(RATES_TOGETHER)
    surprises = [one.joint.surprise for one in found if one.joint is not None]
    for file, surprise in zip(files, surprises, strict=True):
        alarms = alarms_together(file, surprise, RATES_TOGETHER)
        counted = [
            before + count_episodes(alarms[:, number], file.events, file.unscored)
            for number, before in enumerate(counted)
        ]
    f1 = [episodes.f1() for episodes in counted]
    return {
        f"{name}_default_f1": f1[RATES_TOGETHER.index(DEFAULT_RATE)],
        f"{name}_default_over_best_f1": f1[RATES_TOGETHER.index(DEFAULT_RATE)] / max(*f1, 1e-9),
    }


SETS: dict[str, Callable[[Path], dict[str, float]]] = {"nab": nab, "skab": skab, "smd": smd}


def _begins(alarm: NDArray[np.bool_]) -> NDArray[np.float64]:
    return (np.diff(alarm.astype(np.int8), prepend=0) > 0).astype(np.float64)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), _PLACES) for name, value in figures.items()}
