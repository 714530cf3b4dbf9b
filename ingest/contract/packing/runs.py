"""Columns of integers that repeat, count up or go in circles: runs of equal differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.packing.bits import steps, unzigzag, zigzag
from ingest.contract.packing.rice import BadCodeError
from ingest.contract.packing.varints import decode_varints, encode_varints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers


def encode_runs(column: NDArray[Any]) -> bytes:
    """Integers, shape (n,), as runs of equal differences to the number before; the first one's is to 0.

    As varints: how many runs, the difference of each (zigzag), the length of each less one.
    """
    difference = steps(column.astype(np.int64))
    last = np.append(np.flatnonzero(difference[1:] != difference[:-1]), len(column) - 1)[: len(column)]
    length = (steps(last, -1) - 1).view(np.uint64)
    return encode_varints(np.concatenate([np.array([len(last)], np.uint64), zigzag(difference[last]), length]))


def decode_runs(data: bytes, rows: int) -> Integers:
    """A column of so many rows, shape (rows,); differences wrap around at 64 bits. Raises BadCodeError."""
    runs, used = decode_varints(data, 1)
    if runs[0] > rows:
        raise BadCodeError(f"{runs[0]} runs of {rows} rows")
    numbers, size = decode_varints(memoryview(data)[used:], 2 * int(runs[0]))
    length = numbers[len(numbers) // 2 :]
    if used + size != len(data) or (length >= rows).any() or int(length.sum()) + len(length) != rows:
        raise BadCodeError(f"{len(length)} runs that do not make {rows} rows")
    return np.cumsum(np.repeat(unzigzag(numbers[: len(length)]), length.astype(np.int64) + 1))
