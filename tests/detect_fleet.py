"""Fleets of numbers for the tests of detection: arrays of (windows, devices, metrics) as batches of one gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.batch import DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.ledger import GENESIS, LedgerEntry
from tests.rollup_batches import ORIGIN, T0

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from analytics.detect.engine import Decision, Engine


class Fleet:
    """Devices d0, d1, …, each with the named metrics, reporting windows of `width` ms."""

    def __init__(
        self, devices: int, metrics: Sequence[str] = ("m",), *, width: int = 1000, hardware: Sequence[str] = ("rev-a",)
    ) -> None:
        self.width = width
        self.devices = [DeviceRow(f"d{n}", "2.2.0", hardware[n % len(hardware)], "pumps") for n in range(devices)]
        self.metrics = [MetricRow(name) for name in metrics]

    def batch(
        self,
        values: NDArray[np.float64],
        window: int,
        *,
        samples: int | NDArray[Any] = 1,
        historical: bool = False,
        revision: int = 0,
        origin: Origin = ORIGIN,
    ) -> RollupBatch:
        """One window of all devices: `values` of shape (devices, metrics), NaN where nothing was reported."""
        device, metric = np.nonzero(~np.isnan(values))
        taken = values[device, metric]
        count = np.broadcast_to(samples, values.shape)[device, metric].astype("<u4")
        rows = len(taken)
        columns = {
            "device": device.astype("<u4"),
            "metric": metric.astype("<u2"),
            "start": np.full(rows, T0 + window * self.width, "<i8"),
            "width": np.full(rows, self.width, "<u4"),
            "count": count,
            "sum": taken * count,
            "sumsq": taken * taken * count,
            "min": taken,
            "max": taken,
            "last": taken,
            "revision": np.full(rows, revision, "<u2"),
        }
        return RollupBatch(
            origin=origin,
            seq=window + 1,
            created=T0,
            historical=historical,
            devices=self.devices,
            metrics=self.metrics,
            columns=columns,
            ledger=_entry(window + 1, int(count.sum())),
        )

    def batches(self, values: NDArray[np.float64], first: int = 0) -> Iterator[RollupBatch]:
        """`values` of shape (windows, devices, metrics), or (windows, devices) for one metric."""
        for window, row in enumerate(values.reshape(len(values), len(self.devices), len(self.metrics)), first):
            yield self.batch(row, window)


def run(engine: Engine, batches: Iterator[RollupBatch]) -> list[Decision]:
    """All decisions, in order."""
    return [decision for batch in batches for decision in engine.step(batch)]


def _entry(seq: int, net: int) -> LedgerEntry:
    return LedgerEntry(
        seq=seq, received=net, rolled_up=net, duplicate=0, rejected={}, dropped={}, open=0, net=net, previous=GENESIS
    )
