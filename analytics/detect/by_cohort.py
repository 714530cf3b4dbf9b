"""What a partition's series say of their cohorts over sites: once in a slot, how far like devices of a site are from their own past.

Whether that is much is decided where all sites are seen, in `analytics/cohorts`. A series is as far as the moving mean of `drift`
is from its slow level; there is nothing to compute for it beside the sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detectors.cohort_shift import SLOT_WINDOWS
from analytics.pair_index import MISSING
from ingest.contract.events import CohortEvent, CohortPart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import Columns
    from ingest.contract.batch import RollupBatch

    Ints = NDArray[np.int64]

LEAST_SEEN = 240
"""A series is silent here until its slow level rests on so many windows."""
FARTHEST = 2.0
"""In scales: no single device counts as farther away."""
NEWER_WINDOWS = 8
"""A batch that brings several windows is looked at as its last one leaves the series, if that is no later than so."""
MOST_PARTS = 2000
"""In one event: its record stays far below a megabyte."""


def summaries(columns: Columns, batch: RollupBatch, series: NDArray[np.int32]) -> list[CohortEvent]:
    """Of a batch that was stepped; `series` of its rows. Mostly there is nothing to say."""
    rows = _of_slot(batch)
    if not rows.size:
        return []
    rows = rows[(series[rows] != MISSING) & (batch.column("revision")[rows] == 0)]
    numbers, width = series[rows], batch.column("width")[rows].astype(np.int64)
    end = batch.column("start")[rows] + width
    newer = columns["last_end"][numbers] - end
    looked_at = (columns["slow_seen"][numbers] >= LEAST_SEEN) & (newer >= 0) & (newer <= NEWER_WINDOWS * width)
    rows, width, end = rows[looked_at], width[looked_at], end[looked_at]
    distances = np.clip(columns["lean"][numbers[looked_at]].astype(np.float64), -FARTHEST, FARTHEST)
    found = []
    for each in np.unique(width):
        at = end // (each * SLOT_WINDOWS) * (each * SLOT_WINDOWS)
        for slot in np.unique(at[width == each]):
            some = (width == each) & (at == slot)
            parts = _parts(batch, rows[some], distances[some])
            events = (parts[first : first + MOST_PARTS] for first in range(0, len(parts), MOST_PARTS))
            found += [_event(batch, int(slot), int(each), those) for those in events]
    return found


def _of_slot(batch: RollupBatch) -> Ints:
    """The rows that are the first window of a slot, by number."""
    start, width = batch.column("start"), batch.column("width")
    if len(batch) and start.min() == start.max() and width.min() == width.max():
        first = (int(start[0]) + int(width[0])) // int(width[0]) % SLOT_WINDOWS == 0
        return np.arange(len(batch) if first else 0)
    return np.flatnonzero((start + width) // width % SLOT_WINDOWS == 0)


def _parts(batch: RollupBatch, rows: Ints, distances: NDArray[np.float64]) -> list[CohortPart]:
    kinds: dict[tuple[str, str], int] = {}
    kind = [kinds.setdefault((device.hardware, device.firmware), len(kinds)) for device in batch.devices]
    names: dict[str, int] = {}
    name = [names.setdefault(metric.name, len(names)) for metric in batch.metrics]
    cohort = np.array(kind)[batch.column("device")[rows]] * len(names) + np.array(name)[batch.column("metric")[rows]]
    size = len(kinds) * len(names)
    count = np.bincount(cohort, minlength=size)
    total, squares = (np.bincount(cohort, weights, size) for weights in (distances, distances * distances))
    of_kind, of_name = list(kinds), list(names)
    return [
        CohortPart(
            metric=of_name[one % len(names)],
            hardware=of_kind[one // len(names)][0],
            firmware=of_kind[one // len(names)][1],
            count=int(count[one]),
            total=_rounded(total[one]),
            squares=_rounded(squares[one]),
        )
        for one in np.flatnonzero(count).tolist()
    ]


def _event(batch: RollupBatch, at: int, width: int, parts: list[CohortPart]) -> CohortEvent:
    origin = batch.origin
    return CohortEvent(
        tenant=origin.tenant,
        site=origin.site,
        gateway=origin.gateway,
        boot=origin.boot,
        seq=batch.seq,
        at=at,
        width=width,
        parts=parts,
    )


def _rounded(number: float) -> float:
    return float(f"{number:.9g}")
