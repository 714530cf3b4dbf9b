"""Rates per device: which samples of a commit exceed what their devices may send. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.live.talkers import Talkers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.quotas.config import QuotaConfig


class Shares(NamedTuple):
    """By device, shape (devices,): how many samples of a commit keep their series, how many more may overflow, and

    whether it is the bytes that bound them.
    """

    kept: NDArray[np.int64]
    spilled: NDArray[np.int64]
    by_bytes: NDArray[np.bool_]


class Surplus(NamedTuple):
    """Indexes into a commit's samples: those that go to the overflow series of their device, and those beyond it."""

    spilled: NDArray[np.int64]
    refused: NDArray[np.int64]


class Rates:
    """One token bucket a device for samples, one for bytes, one for what overflows; they fill with the gateway's clock.

    A bucket holds `burst_s` seconds' worth, and begins full.
    """

    def __init__(self, config: QuotaConfig) -> None:
        rates = (config.samples_per_s, config.bytes_per_s, config.samples_per_s * config.overflow_factor)
        self._rates = tuple(rate or np.inf for rate in rates)
        self._most = tuple(rate * config.burst_s for rate in self._rates)
        names = ("samples", "bytes", "overflow")
        self._buckets = Columns({name: ("f8", most) for name, most in zip(names, self._most, strict=True)})
        self._filled_at: int | None = None
        self.talkers = Talkers()

    def take(self, count: NDArray[np.int64], sent: NDArray[np.float64], now: int) -> Shares:
        """Take what a commit brought from the buckets: `count` samples in `sent` bytes by device, at `now` (ms)."""
        self.talkers.note(count, sent, now)
        self._fill(len(count), now)
        samples, size, overflow = (self._buckets[name][: len(count)] for name in ("samples", "bytes", "overflow"))
        fits = np.where(sent > size, size / np.maximum(sent, 1.0), 1.0)
        by_bytes = count * fits < np.minimum(count, samples)
        kept = np.floor(np.minimum(count * fits, samples)).astype(np.int64)
        spilled = np.minimum(count - kept, np.floor(np.minimum(overflow, count))).astype(np.int64)
        samples -= kept
        size -= np.minimum(sent, size)
        overflow -= spilled
        return Shares(kept, spilled, by_bytes)

    def _fill(self, devices: int, now: int) -> None:
        self._buckets.grow_to(devices)
        passed_s = 0.0 if self._filled_at is None else max(0, now - self._filled_at) / 1000
        self._filled_at = now
        for name, rate, most in zip(("samples", "bytes", "overflow"), self._rates, self._most, strict=True):
            if most < np.inf and passed_s:
                np.minimum(self._buckets[name] + rate * passed_s, most, out=self._buckets[name])


def surplus(series: NDArray[np.int64], device: NDArray[np.int64], shares: Shares) -> Surplus:
    """Which samples, sorted by series, exceed their device's share; every series of a device keeps as many as it can.

    The first samples of each series stay, so that one series that floods costs its quiet neighbours nothing.
    """
    over = np.bincount(device, minlength=len(shares.kept)) > shares.kept
    which = np.flatnonzero(over[device])
    first = np.append(True, series[1:] != series[:-1])[: len(series)]
    rank = np.arange(len(series)) - np.maximum.accumulate(np.where(first, np.arange(len(series)), 0))
    which = which[np.lexsort((rank[which], device[which]))]
    of = device[which]
    place = np.arange(len(which)) - np.searchsorted(of, of)
    beyond = place - shares.kept[of]
    spilled = (beyond >= 0) & (beyond < shares.spilled[of])
    return Surplus(which[spilled], which[beyond >= shares.spilled[of]])
