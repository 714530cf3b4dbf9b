"""Details of batches for the contract's tests, and what "sound" means, said with naive loops."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.details import Details
from ingest.contract.sketch import MOST_BUCKETS, Sketches

if TYPE_CHECKING:
    from collections.abc import Iterator


def draw_details(rng: np.random.Generator, count: Any) -> Details:
    """Details of some rows that have these sample counts."""
    rows = [np.flatnonzero(rng.integers(0, 2, len(count))) for _ in range(3)]
    sketches = [_draw_sketch(rng, int(count[row])) for row in rows[0]]
    columns = list(zip(*sketches, strict=True)) or [(), (), (), (), ()]
    zeros, below, above = (np.array(column, np.int64) for column in columns[:3])
    bucket, samples = (np.array([cell for cells in column for cell in cells], np.int64) for column in columns[3:])
    increase = np.abs(rng.normal(size=len(rows[1])) * 10.0 ** rng.integers(-9, 9, len(rows[1])))
    small = [np.minimum(rng.integers(0, 4, len(found)), np.asarray(count)[found]).astype(np.int64) for found in rows]
    return Details(
        rows[0], Sketches(zeros, below, above, bucket, samples), rows[1], increase, small[1], rows[2], small[2]
    )


def _draw_sketch(rng: np.random.Generator, count: int) -> tuple[int, int, int, list[int], list[int]]:
    parts = int(rng.integers(0, min(count, 5) + 1))
    samples = [int(rng.integers(1, (count - parts) // 8 + 2)) for _ in range(parts)]
    below = int(rng.integers(0, parts + 1))
    index = np.sort(rng.choice(np.arange(-900, 900), parts, replace=False))
    falling = sorted(index[:below].tolist(), reverse=True)
    return count - sum(samples), below, parts - below, falling + index[below:].tolist(), samples


def same_details(one: Details, other: Details) -> bool:
    """Equal in every bit."""
    pairs = [*zip(one.rows(), other.rows(), strict=True), *zip(one.sketches, other.sketches, strict=True)]
    pairs += [(one.increase, other.increase), (one.resets, other.resets), (one.changes, other.changes)]
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def detail_faults(details: Details, count: list[int]) -> Iterator[str]:
    """What is wrong with the details of rows of these sample counts."""
    for rows in details.rows():
        if any(one >= other for one, other in pairwise(rows.tolist())) or any(
            row >= len(count) for row in rows.tolist()
        ):
            yield "rows"
            return
    at, sketches = 0, details.sketches
    for row, zeros, below, above in zip(
        details.sketch_row, sketches.zeros, sketches.below, sketches.above, strict=True
    ):
        buckets = sketches.bucket[at : at + below + above].tolist()
        samples = sketches.samples[at : at + below + above].tolist()
        at += below + above
        ordered = all(a > b for a, b in pairwise(buckets[:below])) and all(a < b for a, b in pairwise(buckets[below:]))
        few = below <= MOST_BUCKETS and above <= MOST_BUCKETS
        if zeros + sum(samples) != count[row] or not ordered or 0 in samples or not few:
            yield f"sketch of row {row}"
        if any(abs(bucket) > 17_500 for bucket in buckets):
            yield f"bucket of row {row}"
    for row, increase, resets in zip(details.counter_row, details.increase, details.resets, strict=True):
        if not math.isfinite(increase) or increase < 0 or resets > count[row]:
            yield f"counter of row {row}"
    for row, changes in zip(details.state_row, details.changes, strict=True):
        if changes > count[row]:
            yield f"state of row {row}"
