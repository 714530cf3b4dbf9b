"""Ours beside what users would pick, on each labelled set: how well, as the set is scored, and how fast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.detectors.together import YOUNG
from compose.bench.detect.nab_score import PROFILES, join, probation, rows_of, sweep
from compose.bench.detect.peer_detectors import FOR_ROWS, FOR_SERIES
from compose.bench.detect.run import DEFAULT_RATE, NAB_WIDTH, skab_auc_pr, smd_vus_pr
from compose.bench.detect.sets import read_nab, read_skab, read_smd
from compose.bench.detect.side_by_side import watch_files, watch_together, watch_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from compose.bench.detect.peer_detectors import Peer
    from compose.bench.detect.sets import Recording

    Scores = NDArray[np.float64]

OURS = "tidegate"
AS_TOLD = "tidegate_detect"
"""By the score that `tidegate detect` writes, and all that it does to find it."""
WHOLE = "whole"
_PLACES = 4


class Contest(NamedTuple):
    """A set: where its figures go, how it is read, by whom and how its rows are scored, and how the scores are.

    `learned`: the first rows of a recording, which a detector may be fitted on. `small`: what the names of the part of the
    set begin with that slow peers are given alone; empty where all are given the whole.
    """

    key: str
    read: Callable[[Path], list[Recording]]
    peers: Mapping[str, Peer]
    ours: Callable[[Sequence[Recording]], Sequence[Scores]]
    learned: Callable[[Recording], int]
    figures: Callable[[Sequence[Recording], Sequence[Scores]], dict[str, float]]
    small: str = ""

    def parts(self, files: Sequence[Recording]) -> dict[str, tuple[Sequence[Recording], tuple[str, ...]]]:
        """By name of the part: its recordings, and the peers that are given them."""
        if not self.small:
            return {WHOLE: (files, tuple(self.peers))}
        part = [file for file in files if file.name.startswith(self.small)]
        quick = tuple(name for name, peer in self.peers.items() if not peer.slow)
        return {WHOLE: (files, quick), self.small: (part, tuple(self.peers))}

    def runs(self) -> int:
        """How many times `run_peers` will tell."""
        return sum(2 + len(names) for _, names in self.parts(()).values())


def nab_scores(files: Sequence[Recording], scores: Sequence[Scores]) -> dict[str, float]:
    """At the best threshold of each profile, of these files alone."""
    rows = join([rows_of(len(f.times), [(int(a), int(b)) for a, b in f.events]) for f in files])
    scored = np.concatenate([s[probation(len(f.times)) :] for f, s in zip(files, scores, strict=True)])
    return {f"nab_{name}": round(sweep(rows, scored, profile).best(), 2) for name, profile in PROFILES.items()}


CONTESTS = {
    "nab": Contest(
        key="peers",
        read=read_nab,
        peers=FOR_SERIES,
        ours=lambda files: [one.begun for one in watch_values(files, DEFAULT_RATE, NAB_WIDTH)],
        learned=lambda file: probation(len(file.times)),
        figures=nab_scores,
        small="realAdExchange",
    ),
    "skab": Contest(
        key="peers_skab",
        read=read_skab,
        peers=FOR_ROWS,
        ours=lambda files: [one.distance for one in watch_together(files)],
        learned=lambda _: YOUNG,
        figures=lambda files, scores: {"skab_auc_pr": round(skab_auc_pr(files, scores), _PLACES)},
    ),
    "smd": Contest(
        key="peers_smd",
        read=read_smd,
        peers=FOR_ROWS,
        ours=lambda files: [one.distance for one in watch_together(files)],
        learned=lambda machine: machine.unscored,
        figures=lambda files, scores: {"smd_vus_pr": round(smd_vus_pr(files, scores), _PLACES)},
    ),
}


def run_peers(
    contest: Contest, files: Sequence[Recording], told: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Ours and the peers on each part of the set; `told` is told of each of `contest.runs()`.

    Ours is timed with so few series, not with the thousands that it is made for.
    """
    found: dict[str, dict[str, Any]] = {}
    for part, (recordings, names) in contest.parts(files).items():
        found[part] = {OURS: _measured(contest, recordings, contest.ours)}
        told(1)
        found[part][AS_TOLD] = _measured(contest, recordings, lambda files: [one.score() for one in watch_files(files)])
        told(1)
        for name in names:
            found[part][name] = measure_peer(contest, name, recordings)
            told(1)
    return {contest.key: found}


def measure_peer(contest: Contest, name: str, files: Sequence[Recording]) -> dict[str, float]:
    """The set's figures, and points per second of CPU; a point is a row of all metrics."""
    score = contest.peers[name].score
    score(files[0].values[:2], 1)  # what a package imports when it is first used is not timed
    return _measured(contest, files, lambda _: [score(file.values, contest.learned(file)) for file in files])


def _measured(
    contest: Contest, files: Sequence[Recording], score: Callable[[Sequence[Recording]], Sequence[Scores]]
) -> dict[str, float]:
    began = time.process_time()
    scores = score(files)
    spent = time.process_time() - began
    points = sum(len(file.times) for file in files)
    return contest.figures(files, scores) | {"points_per_core_second": round(points / max(spent, 1e-9))}
