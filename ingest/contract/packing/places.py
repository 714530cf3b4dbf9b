"""How many decimal places the values of a metric are taken to have, and which metrics are coded as one class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.decimals import MOST_PLACES, as_whole, fewest_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

SMALLEST_CLASS = 24
"""A metric of fewer rows shares its class with others of as many places: a class has its price, too."""
_SAMPLE = 512
_RAW_BITS = 320
_NEEDS = MOST_PLACES + 2


def best_places(values: Sequence[Floats], metric: Integers, metrics: int) -> Integers:
    """Decimal places by metric, shape (metrics,); rows that need more of them are kept as they are.

    A sample of the rows says what is likely; only the rows that are otherwise are looked at closely.
    """
    some = slice(0, None, len(metric) // _SAMPLE + 1)
    likely = _cheapest(_needs([value[some] for value in values]), metric[some], metrics)
    need = likely[metric]
    others = np.flatnonzero(~np.logical_and.reduce([as_whole(value, need)[1] for value in values]))
    if not len(others):
        return likely
    need[others] = np.maximum(_needs([value[others] for value in values]), need[others])
    return _cheapest(need, metric, metrics)


def classes_of(places: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """The class of each metric, shape (metrics,), and the places of each class; `rows` is how many a metric has."""
    large = rows >= SMALLEST_CLASS
    _, first, of_metric = np.unique(
        np.where(large, _NEEDS + np.arange(len(rows)), places), return_index=True, return_inverse=True
    )
    return of_metric, places[first]


def _needs(values: Sequence[Floats]) -> Integers:
    needs: Integers = np.maximum.reduce([fewest_places(value) for value in values])
    return needs


def _cheapest(need: Integers, metric: Integers, metrics: int) -> Integers:
    # A place more costs four columns of a row 3.3 bits each; a row that needs more places is kept as it is.
    counted = np.bincount(metric * _NEEDS + need, minlength=metrics * _NEEDS).reshape(metrics, _NEEDS)
    covered = np.cumsum(counted, axis=1)[:, : MOST_PLACES + 1]
    raw = counted.sum(axis=1, keepdims=True) - covered
    cheapest: Integers = np.argmin(covered * (4 * 3.3 * np.arange(MOST_PLACES + 1)) + raw * _RAW_BITS, axis=1)
    return cheapest
