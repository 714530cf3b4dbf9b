"""Samples of one block by window: what follows is done once a group, not once a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.names import Names


class Groups(NamedTuple):
    """Neighbouring samples of one window; all but `value` (samples,) have shape (groups,); times in ms.

    `rising`: timestamps rise strictly within the group. `overflow`: every sample counts, whatever its timestamp. A window has several groups when its series moved back and
    forth over its edge.
    """

    series: NDArray[np.int64]
    device: NDArray[np.int64]
    start: NDArray[np.int64]
    width: NDArray[np.int64]
    size: NDArray[np.int64]
    rising: NDArray[np.bool_]
    overflow: NDArray[np.bool_]
    first_ts: NDArray[np.int64]
    last_ts: NDArray[np.int64]
    max_ts: NDArray[np.int64]
    last_value: NDArray[np.float64]
    value: NDArray[np.float64]

    def only(self, mask: NDArray[np.bool_]) -> Groups:
        """The groups where `mask`, shape (groups,), is true."""
        if mask.all():
            return self
        columns: list[NDArray[Any]] = [column[mask] for column in self[:-1]]
        columns.append(self.value[np.repeat(mask, self.size)])
        return Groups(*columns)


def group(samples: Samples, names: Names) -> Groups:
    """Samples, sorted by series, as groups."""
    series, ts, value = samples
    start, width = names.widths.starts(series, ts)
    edge = (series[1:] != series[:-1]) | (start[1:] != start[:-1])
    first = np.flatnonzero(np.append(True, edge)[: len(series)])
    size = np.diff(first, append=len(series))
    last = first + size - 1
    falls = np.append(False, ~edge & (ts[1:] <= ts[:-1]))[: len(series)]
    return Groups(
        series=series[first],
        device=names.columns["device"][series[first]].astype(np.int64),
        start=start[first],
        width=width[first],
        size=size,
        rising=_no_fall(falls, first, last),
        overflow=names.columns["overflow"][series[first]],
        first_ts=ts[first],
        last_ts=ts[last],
        max_ts=np.maximum.reduceat(ts, first) if len(first) else ts,
        last_value=value[last],
        value=value,
    )


def _no_fall(falls: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    before = np.cumsum(falls)
    risen: NDArray[np.bool_] = before[last] == before[first]
    return risen
