"""From collected lists to columns: every value and timestamp is checked here, all samples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.by_device import counts_of
from edge_aggregator.decode.decoded import Decoded, Notes, Samples
from edge_aggregator.quotas.admission import admit
from ingest.contract.reasons import SampleRejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.decode.collected import Collected
    from edge_aggregator.decode.tables import Tables

GREATEST = 1e150
"""Greater values would have an infinite square."""
_FAR = 1 << 53
_NO_SERIES = np.empty(0, np.int64)

# What is written last counts when several reasons apply.
_REASONS = (
    SampleRejection.OUT_OF_RANGE,
    SampleRejection.NOT_FINITE,
    SampleRejection.TOO_OLD,
    SampleRejection.BAD_TIMESTAMP,
    SampleRejection.NOT_A_NUMBER,
)


def finish(found: Collected, tables: Tables) -> Decoded:
    """Check what was collected and sort it by series; what is refused is counted with its reason."""
    values, not_numbers = _numbers(found)
    times, faults = _times(found, tables)
    sizes = np.fromiter(map(len, found.series), np.int64, len(found.series))
    series, ts = np.concatenate([_NO_SERIES, *found.series]), np.repeat(times, sizes)
    device = _devices(series, sizes, tables)
    beyond = ~(np.abs(values) <= GREATEST)  # true for NaN as well
    if beyond.any() or not_numbers.any() or faults.old.any() or faults.negative.any():
        masks = (
            beyond,
            ~np.isfinite(values),
            np.repeat(faults.old, sizes),
            np.repeat(faults.negative, sizes),
            not_numbers,
        )
        refused = _refuse(masks, series, sizes, found)
        found.rejected_of.update(counts_of(tables.names.columns["device"][series[refused]]))
        series, ts, values = series[~refused], ts[~refused], values[~refused]
    skewed = int(sizes[faults.held].sum())
    admitted = admit(
        _sorted(series, ts, values), _sent(found, device, tables), found.newest, tables.names, tables.rates
    )
    found.rejected.update(admitted.rejected)
    found.rejected_of.update(admitted.rejected_of)
    return Decoded(admitted.samples, _notes(found, _heard(found, device), skewed, admitted.overflowed))


def _devices(series: NDArray[np.int64], sizes: NDArray[np.int64], tables: Tables) -> NDArray[np.int64]:
    """The device of each part, shape (parts,); -1 for one in which nothing was good."""
    device = np.full(len(sizes), -1, np.int64)
    firsts = (np.cumsum(sizes) - sizes)[sizes > 0]
    device[sizes > 0] = tables.names.columns["device"][series[firsts]]
    return device


def _heard(found: Collected, device: NDArray[np.int64]) -> list[int]:
    alive = np.bincount(np.delete(device, found.kept) + 1)
    alive[:1] = 0
    heard: list[int] = (np.flatnonzero(alive) - 1).tolist()
    return sorted(found.heard.union(heard)) if found.heard else heard


def _sent(found: Collected, device: NDArray[np.int64], tables: Tables) -> NDArray[np.float64]:
    # Payload bytes by device; a payload in which nothing was good counts for nobody.
    size = np.array(found.sizes, np.float64)
    size[found.repeated] = 0.0
    return np.bincount(device + 1, weights=size, minlength=len(tables.names.devices) + 1)[1:].astype(np.float64)


def _numbers(found: Collected) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values: NDArray[np.float64] = np.frombuffer(found.numbers, np.float64)
    bad = np.zeros(len(values), np.bool_)
    bad[found.no_numbers] = True
    # Adding zero turns -0.0 into 0.0, so that equal numbers have equal bits.
    return values + 0.0, bad


class _Faults(NamedTuple):
    """What is wrong with the timestamps, shape (parts,) each; those that are `held` have been corrected."""

    old: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    held: NDArray[np.bool_]


def _times(found: Collected, tables: Tables) -> tuple[NDArray[np.int64], _Faults]:
    if found.times and max(found.times) > _FAR:
        found.times = [min(ts, _FAR) for ts in found.times]
    times, arrivals = np.array(found.times, np.int64), np.array(found.arrivals, np.int64)
    held = times > arrivals + tables.limits.future_tolerance
    faults = _Faults(times < arrivals - tables.limits.max_age, times < 0, held)
    if held.any():
        _hold(times, held, found, tables)
    return times, faults


def _hold(times: NDArray[np.int64], held: NDArray[np.bool_], found: Collected, tables: Tables) -> None:
    for part in np.flatnonzero(held).tolist():
        if len(found.series[part]):
            device = tables.names.series[found.series[part][0]].device
            found.ahead[device] = max(int(times[part]) - found.arrivals[part], found.ahead.get(device, 0))
            times[part] = tables.give_time(device, found.arrivals[part])


def _refuse(
    masks: tuple[NDArray[np.bool_], ...], series: NDArray[np.int64], sizes: NDArray[np.int64], found: Collected
) -> NDArray[np.bool_]:
    reasons = np.zeros(len(masks[0]), np.int8)
    for code, mask in enumerate(masks, start=1):
        reasons[mask] = code
    for code, count in enumerate(np.bincount(reasons, minlength=len(_REASONS) + 1)[1:].tolist()):
        if count:
            found.rejected[_REASONS[code].value] += count
    bad = np.flatnonzero(reasons)
    parts, firsts = np.unique(np.repeat(np.arange(len(sizes)), sizes)[bad], return_index=True)
    for part, first in zip(parts.tolist(), bad[firsts].tolist(), strict=True):
        reason = _REASONS[reasons[first] - 1].value
        found.dead.add(found.origins[part], reason, f"series {series[first]}", found.arrivals[part])
    return reasons > 0


def _sorted(series: NDArray[np.int64], ts: NDArray[np.int64], value: NDArray[np.float64]) -> Samples:
    # A plain sort of unique keys is ten times as fast as a stable argsort and gives the same order.
    order = np.sort(series << 32 | np.arange(len(series))) & 0xFFFFFFFF
    return Samples(series[order], ts[order], value[order])


def _notes(found: Collected, heard: list[int], skewed: int, overflowed: dict[str, int]) -> Notes:
    return Notes(
        taken=found.newest,
        rejected=dict(found.rejected),
        rejected_of=dict(found.rejected_of),
        events_rejected=dict(found.events_rejected),
        skewed=skewed,
        ahead=dict(found.ahead),
        overflowed=overflowed,
        heard=heard,
        dead=found.dead.kept,
        messages=found.events,
    )
