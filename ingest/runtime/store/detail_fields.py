"""What stores keep of a batch's details: quantiles, growth and rate of counters, changes of states, as dense columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.sketch import quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
DETAIL_INTEGERS = ("changes", "resets")
DETAIL_FLOATS = ("increase", "rate", *QUANTILES)
DETAIL_FIELDS = tuple(sorted((*DETAIL_INTEGERS, *DETAIL_FLOATS)))
"""Of the windows that have them; `rate` is per second of the window's width."""


def detail_fields(batch: RollupBatch) -> dict[str, NDArray[np.float64]]:
    """Each field that some row has, shape (rows,), NaN where a row has none; empty for a batch without details."""
    details, found = batch.details, dict[str, "NDArray[np.float64]"]()
    if len(details.sketch_row):
        row = details.sketch_row
        # The middle of a bucket may lie beyond the extremes, which are known exactly.
        values = np.clip(
            quantiles(details.sketches, tuple(QUANTILES.values())),
            batch.column("min")[row, None],
            batch.column("max")[row, None],
        )
        found |= {name: _dense(batch, row, values[:, place]) for place, name in enumerate(QUANTILES)}
    if len(details.counter_row):
        row, increase = details.counter_row, details.increase
        found["increase"] = _dense(batch, row, increase)
        found["rate"] = _dense(batch, row, increase * 1000.0 / batch.column("width")[row])
        found["resets"] = _dense(batch, row, details.resets)
    if len(details.state_row):
        found["changes"] = _dense(batch, details.state_row, details.changes)
    return found


def _dense(
    batch: RollupBatch, row: NDArray[np.int64], values: NDArray[np.float64] | NDArray[np.int64]
) -> NDArray[np.float64]:
    column = np.full(len(batch), np.nan)
    column[row] = values
    return column
