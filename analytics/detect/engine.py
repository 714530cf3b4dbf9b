"""One partition's detection: rollup batches in, decisions out. Nothing here knows the time but from the batches."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import numpy as np

from analytics.detect.pools import CohortKey, Pools
from analytics.detect.round import Change, Outcome, Rows, Rules, step
from analytics.detectors.kinds import BY_NAME, GAUGE, is_rated
from analytics.pair_index import MISSING
from analytics.series import UNASSIGNED, SeriesTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analytics.detect.config import DetectConfig
    from analytics.series import DeviceKey, MetricKey
    from ingest.contract.batch import DeviceRow, RollupBatch

K = TypeVar("K")

MOST_ROUNDS = 1000
"""Of one batch that holds a series more than once, so many points in time are looked at, the newest."""


ROWS_AT_ONCE = 32_768
"""Rows are stepped in blocks whose columns stay in the processor's cache."""


LARGEST = 1e30
"""Numbers beyond are not told apart: their squares must fit a float."""


class Decision(NamedTuple):
    """A change of one series' alarm, with the numbers behind it; times in ms."""

    device: DeviceKey
    metric: MetricKey
    attributes: DeviceRow
    change: Change
    at: int
    since: int
    value: float
    expected: float
    scale: float
    tail_probability: float
    asked_probability: float
    pooled: bool
    rated: bool


class Engine:
    """Series, their alarms and the pools of one partition; `counts` says what became of the windows."""

    def __init__(self, config: DetectConfig) -> None:
        self.table = SeriesTable(config.max_series, round(config.forget_after_s * 1000))
        self.pools = Pools(config.false_alerts_per_1k_series_day, config.pooled_windows, config.own_windows)
        self.counts: Counter[str] = Counter()
        self._hardware: dict[int, str] = {}
        self._rules = Rules(
            min_windows=config.min_windows,
            continues_ms=round(config.continues_s * 1000),
            rebaseline_ms=round(config.rebaseline_s * 1000),
            relearn_after_ms=round(config.relearn_after_s * 1000),
        )

    def step(self, batch: RollupBatch) -> list[Decision]:
        """Take a batch. Backlog and corrections are of the past: they neither alarm nor are learned, only counted."""
        if batch.historical:
            self.counts["historical"] += len(batch)
            return []
        series, devices, repeated = self.table.resolve(batch)
        moved = np.zeros(len(devices), np.bool_) if repeated else self._moved(batch, devices)
        self._settle(batch, series, moved[batch.column("device")])
        decisions: list[Decision] = []
        for index in self._rounds(batch, series):
            rows = _rows(batch, series, index)
            outcome = step(self.table.columns, self.pools, rows, self._rules)
            self.counts["judged"] += int(outcome.judged.sum())
            self.counts["silent"] += int((~outcome.judged).sum())
            decisions += [self._decision(batch, index[row], rows, outcome, row) for row in _changed(outcome)]
        return decisions

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode((self.table.dump(), self.pools.dump(), self._hardware))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before the first step."""
        table, pools, self._hardware = msgspec.msgpack.decode(dumped, type=tuple[bytes, bytes, dict[int, str]])
        self.table.load(table)
        self.pools.load(pools)

    def _settle(self, batch: RollupBatch, series: NDArray[np.int32], moved: NDArray[np.bool_]) -> None:
        # Series that are new, or whose hardware or width is no longer what it was, are put into their cohort.
        columns = self.table.columns
        unsettled = moved | (columns["cohort"][series] == UNASSIGNED)
        unsettled |= columns["width"][series] != batch.column("width")
        for row in np.flatnonzero(unsettled & (series != MISSING)):
            metric = batch.metrics[batch.column("metric")[row]]
            hardware = batch.devices[batch.column("device")[row]].hardware
            cohort = self.pools.cohort(
                CohortKey(batch.origin.tenant, metric.name, hardware, int(batch.column("width")[row]))
            )
            self.pools.move(int(columns["cohort"][series[row]]), cohort)
            columns["cohort"][series[row]] = cohort
            if columns["last_end"][series[row]] == 0:
                columns["kind"][series[row]] = BY_NAME.get(metric.kind, GAUGE)

    def _moved(self, batch: RollupBatch, devices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which devices of the batch's table have other hardware than before, or are new."""
        moved = np.zeros(len(devices), np.bool_)
        for row in np.flatnonzero(devices != MISSING):
            hardware, device = batch.devices[row].hardware, int(devices[row])
            moved[row] = self._hardware.get(device) != hardware
            self._hardware[device] = hardware
        return moved

    def _rounds(self, batch: RollupBatch, series: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
        # Each round holds one window of each series, older ones first; most batches are one round.
        revised = batch.column("revision") > 0
        self.counts["revised"] += int(revised.sum())
        self.counts["too_many_series"] += int((series == MISSING).sum())
        end = batch.column("start") + batch.column("width")
        for index in _one_each(np.flatnonzero(~revised & (series != MISSING)), series, end):
            fresh = end[index] > self.table.columns["last_end"][series[index]]
            self.counts["late"] += int((~fresh).sum())
            taken = index[fresh]
            yield from (taken[at : at + ROWS_AT_ONCE] for at in range(0, len(taken), ROWS_AT_ONCE))

    def _decision(self, batch: RollupBatch, row: int, rows: Rows, outcome: Outcome, at: int) -> Decision:
        columns, series = self.table.columns, int(rows.series[at])
        cohort, surprise = int(columns["cohort"][series]), float(outcome.surprise[at])
        record, seen = int(columns["record"][series]), int(columns["seen"][series])
        return Decision(
            device=_known(self.table.devices.names[columns["device"][series]]),
            metric=_known(self.table.metrics.names[columns["metric"][series]]),
            attributes=batch.devices[batch.column("device")[row]],
            change=Change(int(outcome.change[at])),
            at=int(rows.end[at]),
            since=int(columns["since"][series]),
            value=_rounded(outcome.value[at]),
            expected=_rounded(outcome.expected[at]),
            scale=_rounded(outcome.scale[at]),
            tail_probability=_rounded(self.pools.tail_probability(cohort, surprise, record, seen)),
            asked_probability=self.pools.asked_probability(cohort),
            pooled=bool(outcome.pooled[at]),
            rated=bool(is_rated(columns["kind"][series])),
        )


def _rows(batch: RollupBatch, series: NDArray[np.int32], index: NDArray[np.int64]) -> Rows:
    width, samples = batch.column("width")[index].astype(np.int64), batch.column("count")[index].astype(np.float64)
    return Rows(
        series=series[index],
        end=batch.column("start")[index] + width,
        width=width,
        samples=samples,
        mean=np.clip(batch.column("sum")[index] / samples, -LARGEST, LARGEST),
        last=np.clip(batch.column("last")[index], -LARGEST, LARGEST),
    )


def _one_each(
    index: NDArray[np.int64], series: NDArray[np.int32], end: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Rows split so that no part holds a series twice, earlier windows first: at most `MOST_ROUNDS` parts, the newest."""
    if _distinct(index, series).all():
        yield index
        return
    ordered = index[np.argsort(end[index], kind="stable")]
    ends_of_parts = np.flatnonzero(np.diff(end[ordered])) + 1
    for part in np.split(ordered, ends_of_parts)[-MOST_ROUNDS:]:
        yield part[_distinct(part, series)]


def _distinct(index: NDArray[np.int64], series: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which rows are the last of their series among `index`."""
    last = np.full(int(series[index].max(initial=0)) + 1, -1, np.int64)
    last[series[index]] = index
    distinct: NDArray[np.bool_] = last[series[index]] == index
    return distinct


def _changed(outcome: Outcome) -> NDArray[np.int64]:
    return np.flatnonzero(outcome.change != Change.NOTHING)


def _rounded(number: float) -> float:
    return float(f"{number:.9g}")


def _known(name: K | None) -> K:
    assert name is not None
    return name
