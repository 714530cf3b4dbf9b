"""Average precision of rows, F1 of episodes, and the first-ranked metric of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.detect.vus import runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def average_precision(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The area under precision and recall, as the sum of precision times growth of recall; rows of shape (rows,)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf) != 0)
    recall = hits[ends] / max(1, int(hits[-1]))
    return float(np.diff(recall, prepend=0.0) @ (hits[ends] / (ends + 1)))


class Episodes(NamedTuple):
    """Of one or more files: events, those that an episode began in, episodes, and those that began in an event."""

    events: int
    found: int
    episodes: int
    inside: int

    def __add__(self, other: object) -> Episodes:
        if not isinstance(other, Episodes):
            return NotImplemented
        return Episodes(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def f1(self) -> float:
        """The harmonic mean of the share of episodes inside events and of events found."""
        if not self.inside:
            return 0.0
        precision, recall = self.inside / self.episodes, self.found / self.events
        return 2.0 * precision * recall / (precision + recall)


NO_EPISODES = Episodes(0, 0, 0, 0)


def count_episodes(alert: NDArray[np.bool_], events: NDArray[np.int64], first: int = 0) -> Episodes:
    """Runs of `alert` (rows,) that begin at row `first` or later against `events`, shape (events, 2), last row included."""
    begins = runs(alert)[:, 0]
    begins = begins[begins >= first]
    inside = (begins[None, :] >= events[:, :1]) & (begins[None, :] <= events[:, 1:])
    return Episodes(len(events), int(inside.any(axis=1).sum()), len(begins), int(inside.any(axis=0).sum()))


def first_ranked_right(ranked: Sequence[int], causes: Sequence[set[int]]) -> float:
    """The share of events whose first-ranked metric is among its causes."""
    return float(np.mean([metric in cause for metric, cause in zip(ranked, causes, strict=True)]))
