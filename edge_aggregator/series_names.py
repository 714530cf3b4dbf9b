"""The names of a gateway's series in few bytes: a hundred thousand names as objects would take as much as all else."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.metric_names import NO_METRIC, Labels, MetricName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.columns import Columns

_DEVICE_BITS = 32
_MOST_FRESH = 4096


class SeriesName(NamedTuple):
    """What identifies a series: the device's id, the metric, and sorted (name, value) pairs."""

    device: int
    metric: str
    labels: Labels = ()


UNKNOWN = SeriesName(0, "")


class SeriesNames:
    """By id, made from the columns device, metric and named when they are asked for; may be read in any thread."""

    def __init__(self, columns: Columns, metrics: Sequence[MetricName]) -> None:
        self._columns, self._metrics = columns, metrics

    def __len__(self) -> int:
        return len(self._columns)

    def __getitem__(self, series: int) -> SeriesName:
        return self.of([series])[0]

    def __iter__(self) -> Iterator[SeriesName]:
        return iter(self.of(range(len(self))))

    def of(self, series: Sequence[int]) -> list[SeriesName]:
        """The names of some series; `UNKNOWN` of those that have none."""
        wanted = np.asarray(series, np.int64)
        device, metric = (self._columns[name][wanted].tolist() for name in ("device", "metric"))
        metrics = [self._metrics[number] if number < len(self._metrics) else NO_METRIC for number in metric]
        # Last of all: a name that is forgotten meanwhile loses this first.
        named = self._columns["named"][wanted].tolist()
        found = zip(device, metrics, named, strict=True)
        return [SeriesName(number, *name) if has and name.metric else UNKNOWN for number, name, has in found]


class SeriesIndex:
    """Ids by (device, metric), twelve bytes each: sorted columns, and the newest ones in a dictionary."""

    def __init__(self) -> None:
        self._keys, self._ids = array("q"), array("i")
        self._fresh: dict[int, int] = {}
        self._devices = bytearray()  # which have any: most new series are of new devices

    def find(self, device: int, metric: int) -> int | None:
        """The id; None when there is none."""
        if device >= len(self._devices) or not self._devices[device]:
            return None
        key = device << _DEVICE_BITS | metric
        known = self._fresh.get(key)
        if known is None:
            at = bisect_left(self._keys, key)
            known = self._ids[at] if at < len(self._keys) and self._keys[at] == key else None
        return known

    def put(self, device: int, metric: int, series: int) -> None:
        """What had no id has this one from now on."""
        if device >= len(self._devices):
            self._devices.extend(bytes(device + 1 - len(self._devices)))
        self._devices[device] = 1
        self._fresh[device << _DEVICE_BITS | metric] = series
        if len(self._fresh) > _MOST_FRESH + len(self._keys) // 8:
            self._settle()

    def remove(self, series: Sequence[int]) -> None:
        """These ids are nobody's any more."""
        self._settle()
        keys, ids = np.array(self._keys), np.array(self._ids)
        stays = ~np.isin(ids, series)
        self._keep(keys[stays], ids[stays])

    def _settle(self) -> None:
        keys, ids = np.array(self._keys), np.array(self._ids)
        fresh = np.fromiter(self._fresh.keys(), np.int64, len(self._fresh))
        order = np.argsort(fresh)
        place = np.searchsorted(keys, fresh[order])
        of_fresh = np.fromiter(self._fresh.values(), np.int32, len(self._fresh))
        self._fresh.clear()
        self._keep(np.insert(keys, place, fresh[order]), np.insert(ids, place, of_fresh[order]))

    def _keep(self, keys: NDArray[np.int64], ids: NDArray[np.int32]) -> None:
        self._keys, self._ids = array("q", keys.tobytes()), array("i", ids.tobytes())
