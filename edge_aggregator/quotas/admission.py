"""Before the journal: what of a commit keeps its series, and what goes to the overflow series of its device.

The journal then holds every sample under the series that it counts in, so that recomputing decides nothing anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.by_device import counts_of
from edge_aggregator.decode.decoded import Samples
from edge_aggregator.quotas.rates import surplus
from ingest.contract.reasons import Overflow, SampleRejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.quotas.rates import Rates, Shares


class Admitted(NamedTuple):
    """Samples sorted by series, how many were rejected by reason and by device, and how many overflowed by reason."""

    samples: Samples
    rejected: dict[str, int]
    rejected_of: dict[int, int]
    overflowed: dict[str, int]


def admit(samples: Samples, sent: NDArray[np.float64], now: int, names: Names, rates: Rates) -> Admitted:
    """Judge one commit's samples; `sent`, shape (devices,), are the payload bytes of each device; `now` in ms."""
    device = names.columns["device"][samples.series]
    count = np.bincount(device, minlength=len(names.devices))
    shares = rates.take(count, sent, now)
    overflowed = _of_places(samples, names)
    if (count <= shares.kept).all():
        return Admitted(samples, {}, {}, overflowed)
    return _spill(samples, device.astype(np.int64), shares, names, overflowed)


def _of_places(samples: Samples, names: Names) -> dict[str, int]:
    if not names.overflowing:
        return {}
    found = int(np.count_nonzero(names.columns["overflow"][samples.series]))
    return {Overflow.SERIES.value: found} if found else {}


def _spill(
    samples: Samples, device: NDArray[np.int64], shares: Shares, names: Names, overflowed: dict[str, int]
) -> Admitted:
    spilled, refused = surplus(samples.series, device, shares)
    into = np.full(len(names.devices), -1, np.int64)
    for number in np.unique(device[spilled]).tolist():
        into[number] = names.overflow_id(number)
    series, moved = samples.series.copy(), spilled[~names.columns["overflow"][samples.series[spilled]]]
    series[spilled] = into[device[spilled]]
    homeless = int(np.count_nonzero(series[spilled] < 0))
    series[refused] = -1
    kept = moved[series[moved] >= 0]
    rejected = {SampleRejection.OVER_QUOTA.value: len(refused), SampleRejection.TOO_MANY_SERIES.value: homeless}
    by_bytes = int(np.count_nonzero(shares.by_bytes[device[kept]]))
    found = overflowed | {Overflow.BYTES.value: by_bytes, Overflow.SAMPLES.value: len(kept) - by_bytes}
    return Admitted(_sorted(samples, series), _positive(rejected), counts_of(device[series < 0]), _positive(found))


def _sorted(samples: Samples, series: NDArray[np.int64]) -> Samples:
    order = np.argsort(series, kind="stable")
    order = order[np.searchsorted(series[order], 0) :]  # what is refused has the series -1
    return Samples(series[order], samples.ts[order], samples.value[order])


def _positive(counts: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
