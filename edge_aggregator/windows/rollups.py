"""What closing windows gives: rows for batches, and what becomes of every sample that was open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.by_device import NOBODY, added
from ingest.contract.details import NO_DETAILS, Details, chained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.by_device import ByDevice
    from edge_aggregator.windows.keys import Spans
    from edge_aggregator.windows.statistics import Statistics


class Rollups(NamedTuple):
    """Windows as columns, shape (windows,) each; start and width in ms.

    `samples` is how many a window has; `net`, how many of them are new: all at a first emission, the difference in a
    revision. `details` are of the rows that have any.
    """

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    width: NDArray[np.int64]
    samples: NDArray[np.int64]
    sum: NDArray[np.float64]
    sumsq: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    last: NDArray[np.float64]
    revision: NDArray[np.int64]
    net: NDArray[np.int64]
    details: Details = NO_DETAILS

    @property
    def size(self) -> int:
        """How many windows there are."""
        return len(self.series)

    def columns(self) -> list[NDArray[Any]]:
        """All columns, in the order above."""
        return list(self[:-1])

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Rollups:
        """Some of the rows, each once."""
        columns: list[Any] = [column[which] for column in self.columns()]
        if not self.details:
            return Rollups(*columns)
        place = np.full(len(self.series), -1, np.int64)
        place[which] = np.arange(len(columns[0]))
        return Rollups(*columns)._replace(details=self.details.moved(place))

    def sorted(self) -> Rollups:
        """By series, then by start: the order in which batches list them."""
        return self.rows(np.lexsort((self.start, self.series)))


def of_statistics(spans: Spans, found: Statistics, revision: NDArray[np.int64], net: NDArray[np.int64]) -> Rollups:
    """Rows of windows that were computed from their samples."""
    return Rollups(*spans, found.distinct, *found.numbers(), revision, net)


def joined(parts: list[Rollups]) -> Rollups:
    """All rows of all parts, of which there is at least one."""
    pieces = zip(*(part.columns() for part in parts), strict=True)
    columns: list[Any] = [np.concatenate(piece) for piece in pieces]
    details = chained([part.details for part in parts], [len(part.series) for part in parts])
    return Rollups(*columns)._replace(details=details)


def no_rollups() -> Rollups:
    """No rows."""
    columns: list[Any] = [np.empty(0, dtype) for dtype in ("i8",) * 4 + ("f8",) * 5 + ("i8",) * 2]
    return Rollups(*columns)


class Fates(NamedTuple):
    """Samples by device that left `open` otherwise than by rollups."""

    duplicate: ByDevice = NOBODY
    dropped: ByDevice = NOBODY
    rejected: ByDevice = NOBODY

    def and_also(self, *others: Fates) -> Fates:
        """The sum."""
        return Fates(*(added(*columns) for columns in zip(self, *others, strict=True)))


class Settled(NamedTuple):
    """Samples that left `open`, beside those that the rollups add: duplicates, and samples dropped by reason.

    `fates`: the same by device.
    """

    rollups: Rollups
    duplicate: int = 0
    dropped: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    rejected: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    conflicts: int = 0
    fates: Fates = Fates()

    def anything(self) -> bool:
        """Whether any sample left `open`."""
        return len(self.rollups.series) > 0 or bool(self.duplicate or self.dropped or self.rejected)
