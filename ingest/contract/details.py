"""What some rows of a batch say beside the plain statistics: sketches, growth of counters, changes of states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.sketch import Sketches, joined, no_sketches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SKETCH_COLUMNS: dict[str, np.dtype[Any]] = {
    "row": np.dtype("<u4"),
    "zeros": np.dtype("<u4"),
    "below": np.dtype("<u4"),
    "above": np.dtype("<u4"),
}
BUCKET_COLUMNS: dict[str, np.dtype[Any]] = {"bucket": np.dtype("<i2"), "samples": np.dtype("<u4")}
"""Ragged: the buckets of all sketches one after the other."""

COUNTER_COLUMNS: dict[str, np.dtype[Any]] = {
    "row": np.dtype("<u4"),
    "increase": np.dtype("<f8"),
    "resets": np.dtype("<u4"),
}
STATE_COLUMNS: dict[str, np.dtype[Any]] = {"row": np.dtype("<u4"), "changes": np.dtype("<u4")}


class Details(NamedTuple):
    """Each kind for the rows that have it; the `…_row` columns are indexes of rows and rise.

    `increase`: how much a counter grew since the sample before the window, each reset counted as growth from zero;
    `resets`: how often it fell. `changes`: how often a state differed from the sample before it.
    """

    sketch_row: NDArray[np.int64]
    sketches: Sketches
    counter_row: NDArray[np.int64]
    increase: NDArray[np.float64]
    resets: NDArray[np.int64]
    state_row: NDArray[np.int64]
    changes: NDArray[np.int64]

    def __bool__(self) -> bool:
        return bool(len(self.sketch_row) or len(self.counter_row) or len(self.state_row))

    def between(self, first: int, last: int) -> Details:
        """The details of the rows [first, last), counted from `first`."""
        ends = [np.searchsorted(rows, (first, last)).tolist() for rows in self.rows()]
        return self._select([np.arange(low, high) for low, high in ends], [rows - first for rows in self.rows()])

    def moved(self, place: NDArray[np.int64]) -> Details:
        """The details of rows of which the i-th becomes row `place[i]`; negative: it is left out."""
        news = [place[rows] for rows in self.rows()]
        orders = [np.argsort(new, kind="stable")[np.count_nonzero(new < 0) :] for new in news]
        return self._select(orders, news)

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows with sketches, with growth, with changes."""
        return self.sketch_row, self.counter_row, self.state_row

    def _select(self, which: Sequence[NDArray[np.int64]], rows: Sequence[NDArray[np.int64]]) -> Details:
        sketched, counted, stated = which
        return Details(
            rows[0][sketched],
            self.sketches.take(sketched),
            rows[1][counted],
            self.increase[counted],
            self.resets[counted],
            rows[2][stated],
            self.changes[stated],
        )


def _none() -> Details:
    empty, numbers = np.empty(0, np.int64), np.empty(0)
    return Details(empty, no_sketches(), empty, numbers, empty, empty, empty)


NO_DETAILS = _none()


def chained(parts: Sequence[Details], sizes: Sequence[int]) -> Details:
    """The details of all parts' rows, one part after the other; part i has `sizes[i]` rows."""
    kept = [(part, shift) for part, shift in zip(parts, _shifts(sizes), strict=True) if part]
    if not kept:
        return NO_DETAILS
    return Details(
        np.concatenate([part.sketch_row + shift for part, shift in kept]),
        joined([part.sketches for part, _ in kept]),
        np.concatenate([part.counter_row + shift for part, shift in kept]),
        np.concatenate([part.increase for part, _ in kept]),
        np.concatenate([part.resets for part, _ in kept]),
        np.concatenate([part.state_row + shift for part, shift in kept]),
        np.concatenate([part.changes for part, _ in kept]),
    )


def _shifts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]


Buffers = dict[str, bytes]


def to_buffers(details: Details) -> dict[str, Buffers]:
    """Details as they travel: `sketches`, `counters`, `states`, each only if some row has it."""
    found: dict[str, Buffers] = {}
    if len(details.sketch_row):
        columns = {"row": details.sketch_row, **details.sketches._asdict()}
        found["sketches"] = _packed(columns, SKETCH_COLUMNS | BUCKET_COLUMNS)
    if len(details.counter_row):
        columns = {"row": details.counter_row, "increase": details.increase, "resets": details.resets}
        found["counters"] = _packed(columns, COUNTER_COLUMNS)
    if len(details.state_row):
        found["states"] = _packed({"row": details.state_row, "changes": details.changes}, STATE_COLUMNS)
    return found


def _packed(columns: Mapping[str, NDArray[Any]], spec: Mapping[str, np.dtype[Any]]) -> Buffers:
    return {name: np.asarray(columns[name]).astype(dtype).tobytes() for name, dtype in spec.items()}
