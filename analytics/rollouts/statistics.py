"""The statistics that soak guards are of, and what each window of a batch says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from ingest.contract.events import OF_SOAKS, GuardKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.contract.events import Guard

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Statistic(msgspec.Struct, frozen=True, array_like=True):
    """One statistic of a device's samples: their mean, the quantile at `level`, or how often something was counted (`counts`).

    `name` is what evidence calls it, `metric` what it is of.
    """

    name: str
    metric: str
    level: float | None = None
    counts: bool = False

    def of(self, total: float, count: int) -> float:
        """The value after windows that add up to `total` over `count` samples; not for a quantile."""
        return total if self.counts else total / count


class Found(NamedTuple):
    """The rows of a batch that say something of a statistic, by rising index; shape (n,).

    `total` is what they add to it, `samples` of how many. For a quantile `total` is 0: it is in the rows' sketches.
    """

    row: Ints
    total: Floats
    samples: Ints


def statistics_of(guards: Iterable[Guard]) -> list[Statistic]:
    """The statistics that these guards ask of soaks, each once."""
    found = {
        guard.statistic(): Statistic(
            guard.statistic(), guard.metric or guard.name, guard.quantile, guard.kind is GuardKind.COUNT
        )
        for guard in guards
        if guard.kind in OF_SOAKS
    }
    return list(found.values())


def windows_of(statistic: Statistic, batch: RollupBatch) -> Found:
    """What a batch's windows of the metric, without labels, say of the statistic.

    A count is the growth of a counter, or how often a state changed: windows that tell neither say nothing, and those without
    a sketch say nothing of a quantile.
    """
    ours = np.array([row.name == statistic.metric and not row.labels for row in batch.metrics] or [False])
    wanted = ours[batch.column("metric")] if len(batch) else np.zeros(0, dtype=np.bool_)
    if statistic.level is not None:
        row = batch.details.sketch_row[wanted[batch.details.sketch_row]]
        return Found(row, np.zeros(len(row)), batch.column("count")[row].astype(np.int64))
    if statistic.counts:
        return _counts(batch, wanted)
    row = np.flatnonzero(wanted)
    return Found(row, batch.column("sum")[row], batch.column("count")[row].astype(np.int64))


def _counts(batch: RollupBatch, wanted: NDArray[np.bool_]) -> Found:
    details = batch.details
    row = np.concatenate([details.counter_row, details.state_row])
    total = np.concatenate([details.increase, details.changes.astype(np.float64)])
    # A series is a counter or a state, never both.
    order = np.argsort(row, kind="stable")
    order = order[wanted[row[order]]]
    return Found(row[order], total[order], batch.column("count")[row[order]].astype(np.int64))
