"""Evidence as columns: what the gate steps over."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class Code(IntEnum):
    """Kinds of evidence as numbers."""

    ENROLLED = 0
    CRASHED = 1
    SILENT = 2
    SOAKED = 3
    CENSORED = 4
    LATE = 5
    ALARMED = 6
    UPDATED = 7
    UPDATE_FAILED = 8


class EvidenceColumns(NamedTuple):
    """Rows of evidence in the order in which they are taken; every column has shape (rows,).

    `at` is the event time (ms), `code` a `Code`. `device` counts enrolments from 0 in their order, -1 for a row that concerns
    nobody enrolled. Of enrolments only: `stratum` (with wave) and `pool` (without) count from 0, `canary` is the arm. Of soaked
    rows only: `metric` is the place in the gate's list of metrics or -1, `value` the statistic, `before` (NaN: unknown) the
    device's own from before the release.
    """

    at: Ints
    code: Ints
    device: Ints
    stratum: Ints
    pool: Ints
    canary: Bools
    metric: Ints
    value: Floats
    before: Floats


class Batch(NamedTuple):
    """Columns with what several guards need of them.

    `run` (rows,) numbers the instants: rows of equal time that stand together have the same one, and the gate answers after
    each. `entered` is indexed by device: the run of its enrolment in this batch, -1 for an earlier one. `enrolments` are the
    rows of kind enrolled.
    """

    rows: EvidenceColumns
    run: Ints
    runs: int
    entered: Ints
    enrolments: Ints


def batch_of(rows: EvidenceColumns, enrolled_before: int) -> Batch:
    """The batch of these rows, after `enrolled_before` enrolments in earlier ones."""
    run = np.concatenate([[0], np.cumsum(rows.at[1:] != rows.at[:-1])])[: len(rows.at)]
    enrolments = np.flatnonzero((rows.code == Code.ENROLLED) & (rows.device >= 0))
    entered = np.concatenate([np.full(enrolled_before, -1), run[enrolments]])
    return Batch(rows, run, int(run[-1]) + 1 if len(run) else 0, entered, enrolments)
