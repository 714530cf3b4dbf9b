"""Where to cut a textbook's score so that it raises no more false alerts than it may: found on windows without faults."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]
    Ints = NDArray[np.int64]

CALM = 3
"""An alert ends after so many windows in a row below the limit, as ours does: what comes sooner is the same alert."""


class Limits:
    """Keeps the highest scores of each kind and window: as many as may alert at all, and one more.

    More than that cannot lie above the limit in any one window, so the limit found is the one of all scores.
    """

    def __init__(self, by_kind: Ints, of_all: int) -> None:
        """Alerts that each kind may raise in all, shape (kinds,), and that the fleet may with one limit."""
        self._by_kind, self._of_all = by_kind, of_all
        self._kept = max(of_all, int(by_kind.max())) + 1
        self._scores: list[Scores] = []
        self._series: list[Ints] = []

    def add(self, scores: Scores) -> None:
        """One window, shape (kinds, series)."""
        kept = min(self._kept, scores.shape[1])
        top = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        self._series.append(top)
        self._scores.append(np.take_along_axis(scores, top, axis=1))

    def by_kind(self) -> NDArray[np.float64]:
        """The limit of each kind by itself, shape (kinds,)."""
        found = [self._lowest(slice(kind, kind + 1), int(allowed)) for kind, allowed in enumerate(self._by_kind)]
        return np.array(found)

    def of_all(self) -> float:
        """The single limit for the whole fleet."""
        return self._lowest(slice(None), self._of_all)

    def _lowest(self, kinds: slice, allowed: int) -> float:
        # From the highest score down, until there would be an alert too many. (A limit so low that alerts run together
        # would have fewer again: nobody wants that one.)
        scores = np.stack([window[kinds] for window in self._scores])
        series = np.stack([window[kinds] for window in self._series])
        finite = np.flatnonzero(np.isfinite(scores))
        order = finite[np.argsort(-scores.reshape(-1)[finite], kind="stable")]
        window, kind, kept = np.unravel_index(order, scores.shape)
        alerts = _Alerts()
        limit = -np.inf
        points = zip(kind, series[window, kind, kept], window, scores[window, kind, kept], strict=True)
        for limit, level in groupby(points, key=lambda point: float(point[3])):
            for of_kind, one, at, _ in level:
                alerts.add((int(of_kind), int(one)), int(at))
            if alerts.number > allowed:
                return limit
        return limit


class _Alerts:
    """Counts alerts as windows that exceed are added, in any order."""

    def __init__(self) -> None:
        self.number = 0
        self._loud: set[tuple[tuple[int, int], int]] = set()

    def add(self, series: tuple[int, int], window: int) -> None:
        near = range(1, CALM + 1)
        before = next((n for n in near if (series, window - n) in self._loud), None)
        after = next((n for n in near if (series, window + n) in self._loud), None)
        self._loud.add((series, window))
        if before is None and after is None:
            self.number += 1
        elif before is not None and after is not None and before + after > CALM:
            self.number -= 1  # two have become one
