"""Levels: a sensor behind a converter has few different values, far apart, which look like many digits.

The minimum, maximum and last value of a class of such windows are told as numbers of levels in one rising list.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.bits import steps, unzigzag, zigzag
from ingest.contract.packing.rice import BadCodeError
from ingest.contract.packing.varints import decode_varints, encode_varints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers

_FEWEST_ROWS = 24
_LOOKED_AT = 64
_FAR = 8
"""Levels are on average so far apart at least; nearer ones are short as whole numbers, too."""
_LEVEL_BITS = 4
"""What a level costs beside the bits of its distance."""


class Heights(NamedTuple):
    """Minimum, range and last one above the minimum, shape (windows,): whole numbers, or numbers of levels."""

    low: Integers
    spread: Integers
    last: Integers


def to_levels(whole: Heights, group: Integers, classes: int) -> tuple[Heights, NDArray[np.bool_], bytes]:
    """The windows with levels in place of whole numbers, which classes have them, shape (classes,), and the levels.

    `group`, shape (windows,), is the class of each window and rises.
    """
    edges = np.searchsorted(group, np.arange(classes + 1)).tolist()
    found = {number: levels for number in range(classes) if len(levels := _levels(whole, edges[number : number + 2]))}
    if not found:
        return whole, np.zeros(classes, np.bool_), b""
    ranked = Heights(*(column.copy() for column in whole))
    for number, levels in found.items():
        here = slice(edges[number], edges[number + 1])
        low, spread, last = (column[here] for column in whole)
        ranked.low[here] = np.searchsorted(levels, low)
        ranked.spread[here] = np.searchsorted(levels, low + spread) - ranked.low[here]
        ranked.last[here] = np.searchsorted(levels, low + last) - ranked.low[here]
    sizes = np.array([len(levels) for levels in found.values()], np.uint64)
    jumps = [zigzag(steps(levels)) for levels in found.values()]
    has = np.isin(np.arange(classes), list(found))
    return ranked, has, encode_varints(np.concatenate([sizes, *jumps]))


def from_levels(ranked: Heights, group: Integers, has: NDArray[np.bool_], data: bytes) -> Heights:
    """What `to_levels` was given. Raises BadCodeError."""
    rows = np.flatnonzero(has[group])
    if not has.any() and not data:
        return ranked
    sizes, used = decode_varints(data, int(has.sum()))
    if (sizes > len(data)).any() or int(sizes.sum()) > len(data):
        raise BadCodeError("more levels than bytes")
    size = np.zeros(len(has), np.int64)
    size[has] = sizes.astype(np.int64)
    levels, first = _read(memoryview(data)[used:], size)
    low, spread, last = (column[rows] for column in ranked)
    of, begins = size[group[rows]], first[group[rows]]
    if ((low < 0) | (low >= of) | (spread < 0) | (spread >= of - low)).any():
        raise BadCodeError("a level that is not there")
    whole = Heights(*(column.copy() for column in ranked))
    whole.low[rows] = levels[begins + low]
    whole.spread[rows] = levels[begins + low + spread] - whole.low[rows]
    whole.last[rows] = levels[begins + low + last] - whole.low[rows]
    return whole


def _read(data: memoryview, size: Integers) -> tuple[Integers, Integers]:
    # Each class's first level is counted from 0.
    first = np.cumsum(size) - size
    steps, used = decode_varints(data, int(size.sum()))
    if used != len(data):
        raise BadCodeError(f"{len(data)} bytes of levels, expected {used}")
    running = np.append(0, np.cumsum(unzigzag(steps)))
    return running[1:] - np.repeat(running[first], size), first


def _levels(whole: Heights, edges: list[int]) -> Integers:
    low, spread, last = (column[slice(*edges)] for column in whole)
    none, rows = low[:0], len(low)
    if rows < _FEWEST_ROWS:
        return none
    some = len(np.unique(low[:_LOOKED_AT]))
    reach = int((low + spread).max()) - int(low.min())
    if some > 0.75 * min(rows, _LOOKED_AT) or reach < _FAR * some:
        return none
    levels = np.unique(np.concatenate([low, low + spread, low + last]))
    distance = math.log2(max(reach, 1) / len(levels))
    worth = 3 * rows * distance > 2 * len(levels) * (distance + _LEVEL_BITS) and distance >= math.log2(_FAR)
    return levels if worth else none
