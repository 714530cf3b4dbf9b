"""How many decimal places the values of a metric are taken to have, and which metrics are coded as one class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.decimals import MOST_PLACES, as_whole, fewest_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

SMALLEST_CLASS = 24
"""A metric of fewer rows shares its class with others of as many places: a class has its price, too."""
_SAMPLE = 1024
_NEEDS = MOST_PLACES + 2


class Price(NamedTuple):
    """In bits: what a place more costs, and what it costs to keep a row as it is."""

    place: float
    kept: float


WINDOWS = Price(4 * 3.3, 320)
SAMPLES = Price(3.3, 72)


Whole = tuple["Integers", "NDArray[np.bool_]"]
"""What `as_whole` gives."""


def best_places(
    values: Sequence[Floats], group: Integers, groups: int, some: slice, price: Price
) -> tuple[Integers, list[Whole]]:
    """Decimal places by group, shape (groups,), and each column of values as whole numbers of so many.

    Rows that need more places are kept as they are. `some` of the rows say what is likely; only the rows that are
    otherwise are looked at closely. A group without any decimals has `MOST_PLACES` + 1.
    """
    places = _cheapest(_needs([value[some] for value in values]), group[some], groups, price)
    need = np.minimum(places, MOST_PLACES)[group]
    whole = [as_whole(value, need) for value in values]
    others = np.flatnonzero(~np.logical_and.reduce([exact for _, exact in whole]))
    if len(others):
        need[others] = np.maximum(_needs([value[others] for value in values]), need[others])
        places = _cheapest(need, group, groups, price)
        need = np.minimum(places, MOST_PLACES)[group]
        whole = [as_whole(value, need) for value in values]
    return places, whole


def spread_out(rows: int) -> slice:
    """A sample of the rows, evenly."""
    return slice(0, None, rows // _SAMPLE + 1)


def classes_of(places: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """The class of each metric, shape (metrics,), and the places of each class; `rows` is how many a metric has."""
    large = rows >= SMALLEST_CLASS
    _, first, of_metric = np.unique(
        np.where(large, _NEEDS + np.arange(len(rows)), places), return_index=True, return_inverse=True
    )
    return of_metric, places[first]


def _needs(values: Sequence[Floats]) -> Integers:
    needs: Integers = fewest_places(np.concatenate(values)).reshape(len(values), -1).max(axis=0)
    return needs


def _cheapest(need: Integers, group: Integers, groups: int, price: Price) -> Integers:
    counted = np.bincount(group * _NEEDS + need, minlength=groups * _NEEDS).reshape(groups, _NEEDS)
    covered = np.cumsum(counted, axis=1)[:, : MOST_PLACES + 1]
    rows = counted.sum(axis=1, keepdims=True)
    costs = covered * (price.place * np.arange(MOST_PLACES + 1)) + (rows - covered) * price.kept
    # A group without any decimal is none, whatever it costs.
    return np.where(covered[:, -1] > 0, np.argmin(costs, axis=1), MOST_PLACES + 1)
