"""Metrics as dense integers: what series of several devices have in common."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

Labels = tuple[tuple[str, str], ...]
"""Sorted (name, value) pairs."""


class MetricName(NamedTuple):
    """A metric and its labels."""

    metric: str
    labels: Labels = ()


NO_METRIC = MetricName("")


class MetricNames:
    """`names` by id, each for as long as a series has it; an id is never given again."""

    def __init__(self) -> None:
        self.names: list[MetricName] = []
        self._ids: dict[tuple[Any, ...], int] = {}
        self._uses: Counter[int] = Counter()

    def take(self, names: Iterable[tuple[str, Labels]]) -> list[int]:
        """The ids of the metrics of new series, new ones if need be."""
        found = [self._id(name) for name in names]
        self._uses.update(found)
        return found

    def find(self, metric: str, labels: Labels) -> int | None:
        """The id; None when no series has it."""
        return self._ids.get((metric, labels))

    def release(self, metric: int) -> None:
        """One series less has it."""
        self._uses[metric] -= 1
        if not self._uses[metric]:
            del self._uses[metric], self._ids[self.names[metric]]
            self.names[metric] = NO_METRIC

    def each(self, of: Callable[[str], int], metric: NDArray[np.int64]) -> NDArray[np.int64]:
        """What `of` says of the names of these metrics, shape (n,); there must be some."""
        found: NDArray[np.int64] = np.array([of(name.metric) for name in self.names], np.int64)[metric]
        return found

    def _id(self, name: tuple[str, Labels]) -> int:
        known = self._ids.get(name)  # equal to a MetricName, and made faster
        if known is None:
            known = self._ids[MetricName(*name)] = len(self.names)
            self.names.append(MetricName(*name))
        return known
