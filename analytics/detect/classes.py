"""The second stage live: devices of the classes that a user named, all metrics of each together; one partition's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.calibrate import own_probability, rate_of
from analytics.detect.company import Company, MetricName, Place, PoolKey
from analytics.detect.joint import likeliest
from analytics.detect.reasons import AnomalyReason
from analytics.detect.round import Change
from analytics.detect.score import calibrated_score
from analytics.detect.together_pool import JointPool
from ingest.contract.events import AnomalyEvent, AnomalyStatus, episode_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analytics.detect.config import DetectConfig, DeviceClass
    from analytics.detect.joint import JointOutcome
    from ingest.contract.batch import DeviceRow, RollupBatch

TOGETHER_DETECTOR = "together"
TOGETHER_LABEL = "together"
"""The label by which an alarm about all metrics of a device is told from one about the metric that it names."""
NAMED = 5
"""Metrics that an event names, the likeliest cause first."""
_STATUS = {Change.ENTERED: AnomalyStatus.ENTERED, Change.CONTINUES: AnomalyStatus.CONTINUES}
_LEFT = {Change.CALMED: AnomalyReason.BACK_TO_NORMAL, Change.NEW_NORMAL: AnomalyReason.NEW_NORMAL}


class Classes:
    """Devices by tenant, site and name."""

    def __init__(self, config: DetectConfig) -> None:
        self._config = config
        self._devices: dict[Place, Company] = {}
        self._pools: dict[PoolKey, JointPool] = {}
        self._full = 0

    def __len__(self) -> int:
        return len(self._devices)

    def step(self, batch: RollupBatch) -> list[AnomalyEvent]:
        """Take a batch. As in the first stage backlog and corrections neither alarm nor are learned."""
        classes = [self._class_of(device) for device in batch.devices] if self._config.together else []
        if batch.historical or not any(classes):
            return []
        windows = _windows(batch, np.array([one is not None for one in classes]))
        return [event for window in windows for event in self._take(batch, classes[window.row], window)]

    @property
    def pools(self) -> int:
        """How many classes of devices of the same metrics are remembered, those that no device is in any more included."""
        return len(self._pools)

    def take_full(self) -> int:
        """How many windows of devices that found no room there were since this was asked last."""
        full, self._full = self._full, 0
        return full

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        devices = [(place, company.dump()) for place, company in self._devices.items()]
        return msgspec.msgpack.encode((devices, list(self._pools.items())))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before the first step."""
        kind = tuple[list[tuple[Place, bytes]], list[tuple[PoolKey, JointPool]]]
        devices, pools = msgspec.msgpack.decode(dumped, type=kind)
        self._devices = {place: Company.restored(company) for place, company in devices}
        self._pools = dict(pools)

    def _class_of(self, device: DeviceRow) -> DeviceClass | None:
        return next((one for one in self._config.together if one.holds(device.hardware, device.group)), None)

    def _take(self, batch: RollupBatch, known: DeviceClass | None, window: _Window) -> Iterator[AnomalyEvent]:
        place = (batch.origin.tenant, batch.origin.site, batch.devices[window.row].device)
        company = self._company(place, window)
        if known is None or company is None or not company.is_due(window.end, window.width):
            return
        values = {name: value for name, value in window.values.items() if known.looks_at(name[0])}
        if not company.is_known:
            if company.gather(values, window.end):
                company.pool_key = (place[0], known.name, company.metrics, company.width)
                self._pool(company).members += 1
            return
        pool = self._pool(company)
        found = company.step(values, window.end, pool, round(self._config.rebaseline_s * 1000))
        if found is None:
            return
        change = company.changed(found, window.end, round(self._config.continues_s * 1000))
        if change is not Change.NOTHING:
            event = _event(company, pool, found, change)
            yield _of_device(event, place, known.name, batch.devices[window.row])

    def _company(self, place: Place, window: _Window) -> Company | None:
        company = self._devices.get(place)
        if company and company.is_stale(window.end, round(self._config.relearn_after_s * 1000)):
            self._drop(place, window.end)
            company = None
        if company is None:
            if len(self._devices) >= self._config.together_devices and not self._forget(window.end):
                self._full += 1
                return None
            company = self._devices[place] = Company(window.width)
        return company

    def _forget(self, now: int) -> bool:
        before = now - round(self._config.forget_after_s * 1000)
        silent = [place for place, company in self._devices.items() if company.last_end < before]
        for place in silent:
            self._drop(place, now)
        return bool(silent)

    def _drop(self, place: Place, now: int) -> None:
        company = self._devices.pop(place)
        if company.pool_key is not None:
            pool = self._pool(company)
            pool.members, pool.left_at = pool.members - 1, now

    def _pool(self, company: Company) -> JointPool:
        assert company.pool_key is not None
        pool = self._pools.get(company.pool_key)
        if pool is None:
            self._forget_pools(company.last_end)
            rate = self._config.false_alerts_per_1k_series_day
            pool = self._pools[company.pool_key] = JointPool(rate, company.width)
        return pool

    def _forget_pools(self, now: int) -> None:
        # What was learned of a class waits for its devices to come back, as long as they would be remembered themselves.
        before = now - round(self._config.forget_after_s * 1000)
        empty = [key for key, pool in self._pools.items() if not pool.members]
        empty.sort(key=lambda key: self._pools[key].left_at, reverse=True)
        for place, key in enumerate(empty):
            if place >= self._config.together_devices or self._pools[key].left_at < before:
                del self._pools[key]


class _Window(NamedTuple):
    """Of the device in row `row` of the batch's table; times in ms; `values` are gauges' means."""

    row: int
    end: int
    width: int
    values: dict[MetricName, float]


def _windows(batch: RollupBatch, wanted: NDArray[np.bool_]) -> Iterator[_Window]:
    """One of each wanted device and window, in the order of their ends."""
    gauges = np.array([metric.kind == "gauge" for metric in batch.metrics])
    device, metric = batch.column("device"), batch.column("metric")
    total, count, width = batch.column("sum"), batch.column("count"), batch.column("width").astype(np.int64)
    end = batch.column("start") + width
    taken = np.flatnonzero(wanted[device] & gauges[metric] & (batch.column("revision") == 0) & np.isfinite(total))
    found: dict[tuple[int, int, int], dict[MetricName, float]] = {}
    for row in taken[np.lexsort((device[taken], end[taken]))]:
        named = batch.metrics[metric[row]]
        window = found.setdefault((int(end[row]), int(device[row]), int(width[row])), {})
        window[named.name, named.labels] = float(total[row] / max(int(count[row]), 1))
    for (ends, place, wide), values in found.items():
        yield _Window(place, ends, wide, values)


def _event(company: Company, pool: JointPool, found: JointOutcome, change: Change) -> AnomalyEvent:
    """What is said of the metrics, as yet of no device."""
    metric, labels = company.metrics[company.cause]
    value, expected, scale = (float(f"{number:.9g}") for number in company.joint.metric(company.cause))
    tail = float(f"{math.exp(-found.rarity):.9g}")
    asked = own_probability(company.joint.seen) if pool.is_alone else pool.asked_probability
    return AnomalyEvent(
        tenant="",
        site="",
        device="",
        metric=metric,
        labels=labels,
        status=_STATUS.get(change, AnomalyStatus.LEFT),
        detector=TOGETHER_DETECTOR,
        at=company.last_end,
        since=found.since,
        value=value,
        expected=expected,
        scale=scale,
        score=calibrated_score(tail, pool.asked_probability),
        tail_probability=tail,
        promised_rate=float(f"{rate_of(asked, company.width):.9g}"),
        signal=", ".join(company.metrics[number][0] for number in likeliest(found.moves, NAMED)),
        reason=_LEFT.get(change, AnomalyReason.OWN_PAST if pool.is_alone else AnomalyReason.POOLED_TAIL),
    )


def _of_device(event: AnomalyEvent, place: Place, name: str, device: DeviceRow) -> AnomalyEvent:
    tenant, site, named = place
    event = msgspec.structs.replace(
        event,
        tenant=tenant,
        site=site,
        device=named,
        labels=tuple(sorted((*event.labels, (TOGETHER_LABEL, name)))),
        firmware=device.firmware,
        hardware=device.hardware,
        group=device.group,
    )
    return msgspec.structs.replace(event, episode=episode_of(event))
