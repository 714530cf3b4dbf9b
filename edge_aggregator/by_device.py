"""Numbers of samples by device: a column by device id, as long as it must be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    ByDevice = NDArray[np.int64]

NOBODY: ByDevice = np.zeros(0, np.int64)
"""No samples of any device."""


def by_device(device: NDArray[np.int64], samples: NDArray[np.int64]) -> ByDevice:
    """What rows add up to, shape (up to devices,): `device` (ids) and `samples` have shape (rows,)."""
    return np.bincount(device, samples).astype(np.int64)  # as floats they are exact below 2^53


def of_some(samples: Mapping[int, int]) -> ByDevice:
    """Of some devices; what is said of ids below zero is of nobody known."""
    column = np.zeros(max(samples, default=-1) + 1, np.int64)
    for device, count in samples.items():
        if device >= 0:
            column[device] = count
    return column


def counts_of(device: NDArray[np.int64]) -> dict[int, int]:
    """How often each id is among `device`, shape (n,)."""
    ids, count = np.unique(device, return_counts=True)
    return dict(zip(ids.tolist(), count.tolist(), strict=True))


def added(*parts: ByDevice) -> ByDevice:
    """The sum of columns, however long each is."""
    total = np.zeros(max(map(len, parts), default=0), np.int64)
    for part in parts:
        total[: len(part)] += part
    return total
