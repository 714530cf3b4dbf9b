"""How wide windows become, level by level: first whole minutes, then whole ten minutes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.outbox.cells import CELL_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class _Level(NamedTuple):
    aligned: int
    widest: int


_LEVELS = {1: _Level(60_000, 600_000), 2: _Level(CELL_MS, 7_200_000)}
"""Windows of a level are so many ms wide or a multiple of it, and never wider than that."""

COARSEST = 2
"""The level of records whose windows become no coarser any more."""


def goals(width: NDArray[np.int64], level: int) -> NDArray[np.int64]:
    """How wide windows (ms, shape (windows,)) become at a level: the least that is whole windows and whole minutes, or tens.

    The same as they are if that is too wide, and from ten minutes on.
    """
    aligned, widest = _LEVELS[level]
    wanted = np.lcm(width, aligned)
    found: NDArray[np.int64] = np.where((width < CELL_MS) & (wanted <= widest), wanted, width)
    return found


def common_span(wanted: Iterable[int], level: int) -> int | None:
    """The shortest time (ms) that is whole windows of all these widths, None if it is too long to be looked at."""
    span = math.lcm(*wanted)
    return span if span <= _LEVELS[level].widest else None
