"""What a batch's details must be before anybody believes them: every length, index and bound, with the reason given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.batch_checks import BadBatchError
from ingest.contract.details import (
    BUCKET_COLUMNS,
    COUNTER_COLUMNS,
    NO_DETAILS,
    SKETCH_COLUMNS,
    STATE_COLUMNS,
    Details,
)
from ingest.contract.reasons import BatchRejection
from ingest.contract.sketch import HIGHEST_INDEX, MOST_BUCKETS, Sketches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ingest.contract.details import Buffers

MOST_INDEX = 17_500
"""Beyond the bucket of 1e150."""


def read_details(buffers: Mapping[str, Buffers], count: NDArray[Any]) -> Details:
    """The details of rows with these sample counts, shape (rows,).

    Raises BadBatchError (column_missing, column_length, index_out_of_bounds, bad_value).
    """
    found = NO_DETAILS
    if "sketches" in buffers:
        rows, sketches = _read_sketches(buffers["sketches"], count)
        found = found._replace(sketch_row=rows, sketches=sketches)
    if "counters" in buffers:
        columns = _read(buffers["counters"], COUNTER_COLUMNS, count)
        increase, resets = columns["increase"], columns["resets"].astype(np.int64)
        _require(np.isfinite(increase) & (increase >= 0) & (resets <= count[columns["row"]]), "counters")
        rows = columns["row"].astype(np.int64)
        found = found._replace(counter_row=rows, increase=increase, resets=resets)
    if "states" in buffers:
        columns = _read(buffers["states"], STATE_COLUMNS, count)
        _require(columns["changes"] <= count[columns["row"]], "states")
        rows, changes = columns["row"].astype(np.int64), columns["changes"].astype(np.int64)
        found = found._replace(state_row=rows, changes=changes)
    return found


def _read_sketches(buffers: Buffers, count: NDArray[Any]) -> tuple[NDArray[np.int64], Sketches]:
    columns = _read(buffers, SKETCH_COLUMNS, count)
    row, zeros, below, above = (columns[name].astype(np.int64) for name in SKETCH_COLUMNS)
    _require((below <= MOST_BUCKETS) & (above <= MOST_BUCKETS), "sketches: too many buckets")
    ragged = _sized(buffers, BUCKET_COLUMNS, int((below + above).sum()))
    bucket, samples = (ragged[name].astype(np.int64) for name in BUCKET_COLUMNS)
    sketches = Sketches(zeros, below, above, bucket, samples)
    _require((samples > 0) & (np.abs(bucket) <= MOST_INDEX), "sketches: a bucket")
    _require(sketches.total() == count[row], "sketches: the sum of samples")
    _require(_rising(sketches), "sketches: the order of buckets")
    return row, sketches


def _rising(sketches: Sketches) -> NDArray[np.bool_]:
    negative, window = sketches.negative(), sketches.window()
    ranked = np.where(negative, -sketches.bucket, sketches.bucket)
    side = window * 2 + ~negative
    rises: NDArray[np.bool_] = np.diff(side * 2 * HIGHEST_INDEX + ranked, prepend=-(1 << 60)) > 0
    return rises


def _read(buffers: Mapping[str, bytes], spec: Mapping[str, np.dtype[Any]], count: NDArray[Any]) -> dict[str, Any]:
    columns = _sized(buffers, spec, len(buffers.get("row", b"")) // spec["row"].itemsize)
    row = columns["row"]
    if len(row) and int(row.max()) >= len(count):
        raise BadBatchError(BatchRejection.INDEX_OUT_OF_BOUNDS, f"row {int(row.max())} of {len(count)}")
    _require(np.diff(row.astype(np.int64), prepend=-1) > 0, "details: the order of rows")
    return columns


def _sized(buffers: Mapping[str, bytes], spec: Mapping[str, np.dtype[Any]], rows: int) -> dict[str, NDArray[Any]]:
    missing = spec.keys() - buffers.keys()
    if missing:
        raise BadBatchError(BatchRejection.COLUMN_MISSING, ", ".join(sorted(missing)))
    for name, dtype in spec.items():
        found, expected = len(buffers[name]), rows * dtype.itemsize
        if found != expected:
            raise BadBatchError(BatchRejection.COLUMN_LENGTH, f"{name}: {found} bytes, expected {expected}")
    return {name: np.frombuffer(buffers[name], dtype) for name, dtype in spec.items()}


def _require(sound: NDArray[np.bool_], what: str) -> None:
    if not sound.all():
        raise BadBatchError(BatchRejection.BAD_VALUE, f"{what} ({int(np.argmin(sound))})")
