"""Rows of several batches under common tables: what is merged when the outbox is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.batch import COLUMNS
from ingest.contract.details import Details, chained

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from ingest.contract.batch import DeviceRow, MetricRow, RollupBatch


class Pile(NamedTuple):
    """Windows as in a batch; columns of shape (rows,) as in `COLUMNS`. `net`: the samples that go with a row."""

    devices: list[DeviceRow]
    metrics: list[MetricRow]
    columns: dict[str, NDArray[Any]]
    details: Details
    net: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.net)

    @property
    def device_name(self) -> NDArray[np.int64]:
        """Rows of one device have the same number here, whatever its attributes were, shape (rows,)."""
        found: NDArray[np.int64] = _numbers(row.device for row in self.devices)[self.columns["device"]]
        return found

    @property
    def series(self) -> NDArray[np.int64]:
        """Rows of one series have the same number here, shape (rows,)."""
        metric = _numbers((row.name, row.labels) for row in self.metrics)[self.columns["metric"]]
        found: NDArray[np.int64] = self.device_name * max(1, len(self.metrics)) + metric
        return found

    @property
    def end(self) -> NDArray[np.int64]:
        """Where the windows end, ms."""
        ends: NDArray[np.int64] = self.columns["start"] + self.columns["width"].astype(np.int64)
        return ends

    def rows(self, which: NDArray[np.int64] | slice) -> Pile:
        """Some of the rows, each once, in this order."""
        place = np.full(self.size, -1, np.int64)
        place[which] = np.arange(len(self.net[which]))
        columns = {name: column[which] for name, column in self.columns.items()}
        return self._replace(columns=columns, details=self.details.moved(place), net=self.net[which])

    def sorted(self) -> Pile:
        """By series, then by start: the order in which batches list them."""
        return self.rows(np.lexsort((self.columns["start"], self.series)))

    def tables(self) -> tuple[list[DeviceRow], list[MetricRow], dict[str, NDArray[Any]]]:
        """The tables with what the rows use of them, and the columns with indexes into those."""
        columns = dict(self.columns)
        device, columns["device"] = np.unique(columns["device"], return_inverse=True)
        metric, columns["metric"] = np.unique(columns["metric"], return_inverse=True)
        devices = [self.devices[index] for index in device.tolist()]
        return devices, [self.metrics[index] for index in metric.tolist()], columns


def pile(batches: Sequence[RollupBatch], nets: Sequence[NDArray[np.int64]]) -> Pile:
    """All rows of all batches, of which there is at least one, with the samples that go with each row."""
    devices, device_maps = _joined([batch.devices for batch in batches])
    metrics, metric_maps = _joined([batch.metrics for batch in batches])
    columns = {name: np.concatenate([batch.column(name) for batch in batches]) for name in COLUMNS}
    columns["device"] = _mapped(device_maps, batches, "device")
    columns["metric"] = _mapped(metric_maps, batches, "metric")
    details = chained([batch.details for batch in batches], [len(batch) for batch in batches])
    return Pile(devices, metrics, columns, details, np.concatenate(nets))


def both(one: Pile, other: Pile) -> Pile:
    """All rows of two piles that have the same tables."""
    columns = {name: np.concatenate([one.columns[name], other.columns[name]]) for name in COLUMNS}
    details = chained([one.details, other.details], [one.size, other.size])
    return one._replace(columns=columns, details=details, net=np.concatenate([one.net, other.net]))


def newest_revisions(rows: Pile) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """An order of the rows by window, older revisions first; and which rows, in that order, are the newest ones."""
    columns = rows.columns
    window = np.stack([rows.series, columns["start"], columns["width"].astype(np.int64)])
    order = np.lexsort((columns["revision"], *window[::-1]))
    changes = (window[:, order[1:]] != window[:, order[:-1]]).any(axis=0)
    return order, np.append(changes, True)[: len(order)]


def _joined(tables: Sequence[Sequence[Any]]) -> tuple[list[Any], list[NDArray[np.int64]]]:
    number: dict[Any, int] = {}
    maps = [np.array([number.setdefault(row, len(number)) for row in table], np.int64) for table in tables]
    return list(number), maps


def _mapped(maps: Sequence[NDArray[np.int64]], batches: Sequence[RollupBatch], name: str) -> NDArray[np.int64]:
    return np.concatenate([table[batch.column(name)] for table, batch in zip(maps, batches, strict=True)])


def _numbers(names: Iterable[Hashable]) -> NDArray[np.int64]:
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in names], np.int64)
