"""Windows of a simulated site as the batches that its gateway would send, already decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compose.bench.detect.fleet import COUNTER, KINDS
from ingest.contract.batch import DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.ledger import GENESIS, LedgerEntry

if TYPE_CHECKING:
    from compose.bench.detect.fleet import Site, Window

WIDTH = 60_000
T0 = 1_790_553_600_000
"""A Monday's midnight."""
SAMPLES = 6
_HARDWARE = ("rev-a", "rev-b")


class Gateway:
    """Sends a site's windows, six samples of one minute each; a gauge keeps its value within a window."""

    def __init__(self, site: Site, number: int) -> None:
        kinds = len(KINDS)
        self._origin = Origin("bench", f"site-{number}", f"gateway-{number}", "boot")
        self._devices = [
            DeviceRow(f"device-{number}-{one}", "1.0.0", _HARDWARE[one % 2], "bench") for one in range(site.devices)
        ]
        self._metrics = [MetricRow(name, kind="counter" if name == "counter" else "gauge") for name in KINDS]
        self._device = np.tile(np.arange(site.devices, dtype="<u4"), kinds)
        self._metric = np.repeat(np.arange(kinds, dtype="<u2"), site.devices)
        self._width = np.full(len(self._device), WIDTH, "<u4")
        self._count = np.full(len(self._device), SAMPLES, "<u4")
        self._revision = np.zeros(len(self._device), "<u2")
        self._total = np.zeros(site.devices)
        self._seq = 0

    def batch(self, window: Window, number: int) -> RollupBatch:
        """The site's window of this `number` since `T0`."""
        self._seq += 1
        self._total = np.where(window.resets, 0.0, self._total) + window.values[COUNTER]
        last, low, mean = window.values.copy(), window.values.copy(), window.values.copy()
        last[COUNTER] = self._total
        low[COUNTER] = self._total - window.values[COUNTER] * (SAMPLES - 1) / SAMPLES
        mean[COUNTER] = (last[COUNTER] + low[COUNTER]) / 2
        columns = {
            "device": self._device,
            "metric": self._metric,
            "start": np.full(len(self._device), T0 + number * WIDTH, "<i8"),
            "width": self._width,
            "count": self._count,
            "sum": SAMPLES * mean.ravel(),
            "sumsq": SAMPLES * mean.ravel() ** 2,
            "min": low.ravel(),
            "max": last.ravel(),
            "last": last.ravel(),
            "revision": self._revision,
        }
        present = window.present.ravel()
        if not present.all():
            columns = {name: column[present] for name, column in columns.items()}
        return RollupBatch(
            origin=self._origin,
            seq=self._seq,
            created=T0 + (number + 1) * WIDTH,
            historical=False,
            devices=self._devices,
            metrics=self._metrics,
            columns=columns,
            ledger=ledger_entry(self._seq, SAMPLES * len(columns["device"])),
        )


def ledger_entry(seq: int, samples: int) -> LedgerEntry:
    """A batch's entry in the ledger: all of its samples were rolled up."""
    return LedgerEntry(
        seq=seq,
        received=samples,
        rolled_up=samples,
        duplicate=0,
        rejected={},
        dropped={},
        open=0,
        net=samples,
        previous=GENESIS,
    )
