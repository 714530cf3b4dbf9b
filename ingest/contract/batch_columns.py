"""A batch's columns as buffers and back: as they lie in memory (version 1), or packed (version 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.batch import COLUMNS, REPLACED_COLUMNS
from ingest.contract.batch_checks import MAX_ROWS, BadBatchError
from ingest.contract.packing.rice import BadCodeError
from ingest.contract.packing.runs import decode_runs, encode_runs
from ingest.contract.packing.window_statistics import BUFFERS, FLOATS, decode_statistics, encode_statistics
from ingest.contract.reasons import BatchRejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]
    Spec = dict[str, np.dtype[Any]]

_INTEGERS = {name: dtype for name, dtype in COLUMNS.items() if name not in FLOATS}


def plain_buffers(columns: Mapping[str, NDArray[Any]], spec: Spec) -> dict[str, bytes]:
    """Each column's elements one after the other."""
    return {name: column.tobytes() for name, column in _as_specified(columns, spec).items()}


def packed_buffers(columns: Mapping[str, NDArray[Any]], metrics: int) -> dict[str, bytes]:
    """The integers as runs, the statistics as whole numbers that narrow each other down; `metrics`: how many there are."""
    whole = _as_specified(columns, COLUMNS)
    metrics = max(metrics, int(whole["metric"].astype(np.int64).max(initial=-1)) + 1)
    return {name: encode_runs(whole[name]) for name in _INTEGERS} | encode_statistics(whole, metrics)


def packed_windows(columns: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """The columns of windows that are replaced, as runs."""
    return {name: encode_runs(column) for name, column in _as_specified(columns, REPLACED_COLUMNS).items()}


def unpacked_columns(buffers: dict[str, bytes], rows: int, metrics: int) -> Columns:
    """What `packed_buffers` was given, as read-only arrays.

    Raises BadBatchError (column_missing, column_length, too_many_rows, index_out_of_bounds).
    """
    _require_all(buffers, (*_INTEGERS, *BUFFERS))
    columns = _integers(buffers, _INTEGERS, rows)
    metric = columns["metric"].astype(np.int64)
    if (found := int(metric.max(initial=-1))) >= metrics:
        raise BadBatchError(BatchRejection.INDEX_OUT_OF_BOUNDS, f"metric {found} of {metrics}")
    try:
        columns |= decode_statistics(buffers, metric, columns["count"].astype(np.int64), metrics)
    except BadCodeError as error:
        raise BadBatchError(BatchRejection.COLUMN_LENGTH, f"statistics: {error}") from error
    return _read_only({name: columns[name] for name in COLUMNS})


def unpacked_windows(buffers: dict[str, bytes], rows: int) -> Columns:
    """What `packed_windows` was given, as read-only arrays. Raises BadBatchError as `unpacked_columns` does."""
    _require_all(buffers, REPLACED_COLUMNS)
    return _read_only(_integers(buffers, REPLACED_COLUMNS, rows))


def _integers(buffers: dict[str, bytes], spec: Spec, rows: int) -> Columns:
    _require_few(rows)
    found: Columns = {}
    for name, dtype in spec.items():
        try:
            column = decode_runs(buffers[name], rows)
        except BadCodeError as error:
            raise BadBatchError(BatchRejection.COLUMN_LENGTH, f"{name}: {error}") from error
        found[name] = column.astype(dtype)
        if (found[name] != column).any():
            raise BadBatchError(BatchRejection.COLUMN_LENGTH, f"{name}: a number that is no {dtype.name}")
    return found


def _as_specified(columns: Mapping[str, NDArray[Any]], spec: Spec) -> Columns:
    return {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in spec.items()}


def _require_all(buffers: dict[str, bytes], names: Iterable[str]) -> None:
    missing = set(names) - buffers.keys()
    if missing:
        raise BadBatchError(BatchRejection.COLUMN_MISSING, ", ".join(sorted(missing)))


def _require_few(rows: int) -> None:
    if not 0 <= rows <= MAX_ROWS:
        raise BadBatchError(BatchRejection.TOO_MANY_ROWS, f"{rows} rows, at most {MAX_ROWS}")


def _read_only(columns: Columns) -> Columns:
    for column in columns.values():
        column.flags.writeable = False
    return columns
