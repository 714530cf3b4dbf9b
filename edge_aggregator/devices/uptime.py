"""Reboots of devices that send no boot id: an uptime that falls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.columns import Columns
    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.names import Names


class Fall(NamedTuple):
    """A device whose uptime fell, and the uptime (s) that it had then."""

    device: int
    uptime: float


def falls(samples: Samples, names: Names, devices: Columns) -> list[Fall]:
    """Who rebooted, in order of device and time; `uptime` and `uptime_ts` of `devices` are brought up to date.

    Samples that are older than the newest one seen of their device say nothing.
    """
    which = names.columns["uptime"][samples.series]
    if not which.any():
        return []
    device = names.columns["device"][samples.series[which]].astype(np.int64)
    ts, uptime = samples.ts[which], samples.value[which]
    newer = ts > devices["uptime_ts"][device]
    order = np.lexsort((ts[newer], device[newer]))
    device, ts, uptime = device[newer][order], ts[newer][order], uptime[newer][order]
    again = np.append(False, (device[1:] == device[:-1]) & (ts[1:] == ts[:-1]))[: len(device)]
    return _falls(device[~again], ts[~again], uptime[~again], devices)


def _falls(
    device: NDArray[np.int64], ts: NDArray[np.int64], uptime: NDArray[np.float64], devices: Columns
) -> list[Fall]:
    first = np.append(True, device[1:] != device[:-1])[: len(device)]
    before = np.where(first, devices["uptime"][device], np.roll(uptime, 1))
    fell = uptime < before
    devices["uptime"][device], devices["uptime_ts"][device] = uptime, ts
    return [Fall(int(d), float(u)) for d, u in zip(device[fell], uptime[fell], strict=True)]
