"""Parts of a block that are looked at one after the other: what is in between takes many times the memory of the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.contract.packing.bits import Integers

SLAB = 16_384
"""Samples, about; a run is never cut."""


def slabs(size: Integers) -> Iterator[tuple[slice, slice]]:
    """Neighbouring runs of these sizes (at least 1 each) that have about `SLAB` samples together: runs, and samples."""
    ends, run, sample = np.cumsum(size), 0, 0
    while run < len(size):
        last = max(run + 1, int(np.searchsorted(ends, sample + SLAB, side="right")))
        yield slice(run, last), slice(sample, int(ends[last - 1]))
        run, sample = last, int(ends[last - 1])
