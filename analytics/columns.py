"""What is remembered of each series: named columns, those of one dtype that every window needs side by side in one array.

So a stretch of many columns is copied, saved or set at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.detectors.profile import SLOTS, UNKNOWN
from analytics.detectors.signals import MEMORIES, SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = np.uint32(0xFFFFFFFF)
"""The device of a slot that is free."""
UNASSIGNED = -1
"""The cohort of a series that has not been put into one yet."""


SEEN, LONG = 255, 65_000
"""Windows after which nothing more is counted, in a byte and in two."""


class Column(NamedTuple):
    """What is remembered of a series: `parts` numbers of `dtype`, arrays of shape (series,), or (parts, series) if many.

    `fresh` of a series of which nothing is known; `idle` of one that is old, at rest, and looked at without any effect.
    """

    dtype: str
    fresh: float = 0
    parts: int = 1
    idle: float = 0


COLUMNS: dict[str, Column] = {
    "device": Column("<u4", 0xFFFFFFFF),
    "metric": Column("<u4"),
    "cohort": Column("<i2", UNASSIGNED, idle=UNASSIGNED),
    "width": Column("<u4"),
    "kind": Column("u1"),
    "last_end": Column("<i8"),
    "previous": Column("<f8", np.nan, idle=0),
    "resolution": Column("<f4", 1),
    "alarm": Column("u1"),
    "calm": Column("u1"),
    # robust level and scale
    "origin": Column("<f4"),
    "level": Column("<f4"),
    "scale": Column("<f4", idle=1),
    "samples": Column("<f4", idle=1),
    "seen": Column("u1", idle=SEEN),
    "rises": Column("u1"),
    "falls": Column("u1"),
    "bin_1": Column("u1"),
    "bin_2": Column("u1"),
    "peak": Column("u1"),
    "quiet": Column("u1"),
    # novelty
    "windows": Column("<u2", idle=LONG),
    "means": Column("<f4", 0, len(MEMORIES)),
    "restless": Column("<f4"),
    "profile_mean": Column("<f4"),
    "low": Column("<f4", np.inf, SIGNALS, idle=-np.inf),
    "high": Column("<f4", -np.inf, SIGNALS, idle=np.inf),
    "newest": Column("<f4"),
    "records": Column("<u2"),
    "excess": Column("<f4"),
    # stuck values
    "repeats": Column("<u2"),
    "longest_run": Column("<u2", idle=LONG),
    "changes": Column("u1", idle=SEEN),
    # silence beside a device that talks
    "absent": Column("u1"),
    "longest_gap": Column("<u2"),
    # means of many windows
    "slow_seen": Column("<u2", idle=LONG),
    "slow_level": Column("<f4"),
    "slow_scale": Column("<f4", idle=1),
    "lean": Column("<f4"),
    "unrest": Column("<f4"),
    "usual_unrest": Column("<f4"),
    "unrest_spread": Column("<f4", idle=1),
    "drift_peak": Column("u1"),
    "unrest_peak": Column("u1"),
    # profile of the week
    "expected": Column("<f4", np.nan, idle=0),
    "hour_sum": Column("<f4"),
    "hour_windows": Column("<u2"),
    "profile": Column("u1", UNKNOWN, SLOTS),
    "profile_low": Column("<f4"),
    "profile_width": Column("<f4"),
}
"""Times in ms; numbers of the value's unit are distances from `origin`, its first value. `bin_*` and `peak` are
histogram bins of surprise: of the last two windows, and the highest of a run of remarkable ones. `seen`: windows that the level rests on, `windows`: those that novelty has seen; `newest`: the fading peak of novelty.
"""

COLD = frozenset({"device", "metric", "width", "profile", "profile_low", "profile_width"})
"""Columns that most windows leave alone."""
HOT = tuple(name for name in COLUMNS if name not in COLD)

State = dict[str, "NDArray[Any]"]
"""Columns by name, of shape (series,) or (parts, series)."""


class Planes(dict[str, "NDArray[Any]"]):
    """The hot columns of so many series: each a view of one of the `arrays`, of shape (columns, series), one for each dtype."""

    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self.arrays = arrays
        super().__init__(
            (name, arrays[array][first : first + parts] if parts > 1 else arrays[array][first])
            for name, array, first, parts in _PLACES
        )

    @staticmethod
    def empty(series: int) -> Planes:
        """Of so many series, with whatever was in memory."""
        return Planes([np.empty((len(idle), series), dtype) for dtype, idle in _IDLE.items()])

    def stretch(self, where: slice) -> Planes:
        """Views of neighbours."""
        return Planes([array[:, where] for array in self.arrays])

    def saved(self, rows: NDArray[np.integer[Any]]) -> list[NDArray[Any]]:
        """Copies of all there is of these rows, for `restore`."""
        return [array[:, rows] for array in self.arrays]

    def restore(self, rows: NDArray[np.integer[Any]], saved: list[NDArray[Any]]) -> None:
        """Make these rows what they were."""
        if rows.size:
            for array, were in zip(self.arrays, saved, strict=True):
                array[:, rows] = were

    def put_aside(self, rows: NDArray[np.integer[Any]]) -> list[NDArray[Any]]:
        """Make these rows idle, and return what they were."""
        if not rows.size:
            return []
        saved = self.saved(rows)
        for array, idle in zip(self.arrays, _IDLE.values(), strict=True):
            array[:, rows] = idle
        return saved


class Columns(dict[str, "NDArray[Any]"]):
    """All columns of so many series, of which nothing is known; `planes`: the hot ones."""

    def __init__(self, series: int) -> None:
        self.planes = Planes.empty(series)
        super().__init__(self.planes)
        self.update({name: np.empty(_shape(COLUMNS[name], series), COLUMNS[name].dtype) for name in sorted(COLD)})
        for name, column in self.items():
            column[...] = COLUMNS[name].fresh

    def grow(self, series: int) -> None:
        """Make room for so many, array by array, so that only one is there twice. What is new is never read before it is reset."""
        for number, array in enumerate(self.planes.arrays):
            self.planes.arrays[number] = _grown(array, series)
            self.planes = Planes(self.planes.arrays)
            self.update(self.planes)
        for name in sorted(COLD):
            self[name] = _grown(self[name], series)


def _grown(array: NDArray[Any], series: int) -> NDArray[Any]:
    grown = np.empty((*array.shape[:-1], series), array.dtype)
    grown[..., : array.shape[-1]] = array
    return grown


def _shape(column: Column, series: int) -> tuple[int, ...]:
    return (series,) if column.parts == 1 else (column.parts, series)


def _laid_out() -> tuple[list[tuple[str, int, int, int]], dict[str, NDArray[Any]]]:
    # Each hot column's name, array, first row of it and number of rows; and of each dtype what is idle, shape (columns, 1).
    rows: dict[str, list[float]] = {dtype: [] for dtype in dict.fromkeys(COLUMNS[name].dtype for name in HOT)}
    places = []
    for name in HOT:
        column = COLUMNS[name]
        places.append((name, list(rows).index(column.dtype), len(rows[column.dtype]), column.parts))
        rows[column.dtype] += [column.idle] * column.parts
    return places, {dtype: np.array(idle, dtype)[:, None] for dtype, idle in rows.items()}


_PLACES, _IDLE = _laid_out()
