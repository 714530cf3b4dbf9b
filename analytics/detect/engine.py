"""One partition's detection: rollup batches in, decisions out. Nothing here knows the time but from the batches."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from analytics.calibrate import own_probability, rate_of
from analytics.detect import rarities
from analytics.detect.alarms import Alarms
from analytics.detect.block import neighbours
from analytics.detect.by_cohort import summaries
from analytics.detect.by_silence import Seen, Silences
from analytics.detect.merge import Detector
from analytics.detect.pools import CohortKey, Pools
from analytics.detect.round import LARGEST, Change, Memory, Outcome, Rows, Rules, step
from analytics.detect.rounds import blocks, one_each
from analytics.detectors.kinds import BY_NAME, GAUGE, is_rated
from analytics.detectors.rows import where
from analytics.pair_index import MISSING
from analytics.series import SeriesTable
from ingest.contract.events import CohortEvent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.detect.by_silence import Silent
    from analytics.detect.config import DetectConfig
    from analytics.detect.rounds import Ordered
    from analytics.series import DeviceKey, MetricKey
    from ingest.contract.batch import DeviceRow, RollupBatch

K = TypeVar("K")


class Decision(NamedTuple):
    """A change of one series' alarm, with the numbers behind it; times in ms.

    `detector`: the one that decides; `signal`: what of the series is new, by number. `tail_probability` is that of all
    detectors merged. `promised_rate`: the false alerts per 1,000 series and day that this can be relied on for: those asked
    for where a pool speaks, what so many windows of its own support where the series is alone.
    """

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
    detector: Detector
    signal: int
    promised_rate: float


class Engine:
    """Series, their alarms and the pools of one partition; `counts` says what became of the windows.

    `cohorts`: what is to be said of cohorts over sites, until somebody takes it.
    """

    def __init__(self, config: DetectConfig) -> None:
        self.table = SeriesTable(config.max_series, round(config.forget_after_s * 1000), config.max_series_of_tenant)
        self.alarms = Alarms()
        self.pools = Pools(config.false_alerts_per_1k_series_day, config.pooled_windows, config.own_windows)
        self.counts: Counter[str] = Counter()
        self.cohorts: list[CohortEvent] = []
        self._says_cohorts = config.cohort_sites > 0
        self._silences = Silences()
        self._hardware: dict[int, str] = {}
        self._rules = Rules.of(config)

    def step(self, batch: RollupBatch) -> list[Decision]:
        """Take a batch. Backlog and corrections are of the past: they neither alarm nor are learned, only counted."""
        if batch.historical:
            self.counts["historical"] += len(batch)
            return []
        series, devices, fresh = self.table.resolve(batch)
        self._settle(batch, series, self._moved(batch, devices, fresh) if fresh.size else None)
        memory = Memory(self.table.columns, self.alarms, self.pools, self._rules)
        end = batch.column("start") + batch.column("width")
        last_end = memory.table["last_end"].take(series, mode="clip")
        silences = self._silences.returned(memory, batch, Seen(series, devices, end, last_end))
        decisions = [self._silence(batch, devices, silent) for silent in silences]
        for part in one_each(self._usable(batch, series, end > last_end), series, end):
            for block in blocks(part):
                decisions += self._step(memory, batch, end, block)
        if self._says_cohorts:
            self.cohorts += summaries(self.table.columns, batch, series)
        silences = self._silences.step(memory, batch, Seen(series, devices, end, last_end), self.table.high)
        return decisions + [self._silence(batch, devices, silent) for silent in silences]

    def _step(self, memory: Memory, batch: RollupBatch, end: NDArray[np.int64], block: Ordered) -> list[Decision]:
        rows, of_row = _rows(batch, end, block)
        outcome = step(memory, rows)
        judged = int(np.count_nonzero(outcome.by_level | outcome.by_novelty))
        self.counts["judged"] += judged
        self.counts["silent"] += len(block.rows) - judged
        return [self._decision(batch, of_row[row], rows, outcome, row) for row in _changed(outcome)]

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        parts = (self.table.dump(), self.alarms.dump(), self.pools.dump(), self._silences.dump())
        return msgspec.msgpack.encode((*parts, self._hardware, self.cohorts))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump; only before the first step."""
        table, alarms, pools, silences, self._hardware, self.cohorts = msgspec.msgpack.decode(dumped, type=_Dump)
        self.table.load(table)
        self.alarms.load(alarms)
        self.pools.load(pools)
        self._silences.load(silences)

    def _settle(self, batch: RollupBatch, series: NDArray[np.int32], moved: NDArray[np.bool_] | None) -> None:
        # Series that are new (their width is 0), or whose hardware or width is no longer what it was, are put into their cohort.
        columns, width = self.table.columns, batch.column("width")
        unsettled = columns["width"].take(series, mode="clip") != width
        if moved is not None:
            unsettled |= moved[batch.column("device")]
        for row in where(unsettled & (series != MISSING)):
            metric = batch.metrics[batch.column("metric")[row]]
            hardware = batch.devices[batch.column("device")[row]].hardware
            cohort = self.pools.cohort(CohortKey(batch.origin.tenant, metric.name, hardware, int(width[row])))
            self.pools.move(int(columns["cohort"][series[row]]), cohort, int(batch.column("start")[row]))
            columns["cohort"][series[row]], columns["width"][series[row]] = cohort, width[row]
            if columns["last_end"][series[row]] == 0:
                columns["kind"][series[row]] = BY_NAME.get(metric.kind, GAUGE)

    def _moved(
        self, batch: RollupBatch, devices: NDArray[np.int64], fresh: NDArray[np.integer[Any]]
    ) -> NDArray[np.bool_]:
        """Which devices of the batch's table have other hardware than before, or are new."""
        moved = np.zeros(len(devices), np.bool_)
        for row in fresh:
            hardware, device = batch.devices[row].hardware, int(devices[row])
            moved[row] = self._hardware.get(device) != hardware
            self._hardware[device] = hardware
        return moved

    def _usable(self, batch: RollupBatch, series: NDArray[np.int32], is_later: NDArray[np.bool_]) -> NDArray[np.int64]:
        # What of a series is not later than the window before was looked at already, or is of the past.
        revised, known = batch.column("revision") > 0, series != MISSING
        finite = np.isfinite(batch.column("sum")) & np.isfinite(batch.column("last"))
        usable = ~revised & finite & known
        found = where(usable & is_later)
        for reason, count in (
            ("revised", np.count_nonzero(revised)),
            ("too_many_series", len(batch) - np.count_nonzero(known)),
            ("not_finite", len(batch) - np.count_nonzero(finite)),
            ("late", np.count_nonzero(usable) - len(found)),
        ):
            self.counts[reason] += int(count)
        return found

    def _decision(self, batch: RollupBatch, row: int, rows: Rows, outcome: Outcome, at: int) -> Decision:
        columns, series = self.table.columns, int(rows.series[at])
        cohort, windows = int(columns["cohort"][series]), int(columns["windows"][series])
        merged = rarities.merged(self.pools, columns["cohort"][[series]], outcome.of(np.array([at])))
        detector, asked = Detector(int(merged.detector[0])), self.pools.asked_probability(cohort)
        pooled = self.pools.tail(cohort, detector) is not None
        return Decision(
            device=_known(self.table.devices.names[columns["device"][series]]),
            metric=_known(self.table.metrics.names[columns["metric"][series]]),
            attributes=batch.devices[batch.column("device")[row]],
            change=Change(int(outcome.change[at])),
            at=int(rows.end[at]),
            since=int(outcome.since[at]),
            value=_rounded(outcome.value[at]),
            expected=_rounded(outcome.expected[at]),
            scale=_rounded(outcome.scale[at]),
            tail_probability=_rounded(math.exp(-merged.rarity[0])),
            asked_probability=asked,
            pooled=pooled,
            rated=bool(is_rated(columns["kind"][series])),
            detector=detector,
            signal=int(outcome.part[at]),
            promised_rate=_rounded(rate_of(asked if pooled else own_probability(windows), int(rows.width[at]))),
        )

    def _silence(self, batch: RollupBatch, devices: NDArray[np.int64], silent: Silent) -> Decision:
        columns, series = self.table.columns, silent.series
        cohort, device = int(columns["cohort"][series]), int(columns["device"][series])
        asked = self.pools.asked_probability(cohort)
        return Decision(
            device=_known(self.table.devices.names[device]),
            metric=_known(self.table.metrics.names[columns["metric"][series]]),
            attributes=batch.devices[int(where(devices == device)[-1])],
            change=silent.change,
            at=silent.at,
            since=silent.since,
            value=_rounded(columns["previous"][series]),
            expected=_rounded(columns["origin"][series] + columns["level"][series].astype(np.float64)),
            scale=_rounded(columns["scale"][series]),
            tail_probability=_rounded(math.exp(-rarities.rarity(self.pools, cohort, Detector.SILENCE, silent.bin))),
            asked_probability=asked,
            pooled=True,
            rated=bool(is_rated(columns["kind"][series])),
            detector=Detector.SILENCE,
            signal=0,
            promised_rate=_rounded(rate_of(asked, int(columns["width"][series]))),
        )


_Dump = tuple[bytes, bytes, bytes, bytes, dict[int, str], list[CohortEvent]]


def _rows(batch: RollupBatch, end: NDArray[np.int64], block: Ordered) -> tuple[Rows, NDArray[np.int64]]:
    """The windows of a block, and the row of the batch that each is; any where a series is absent."""
    found = neighbours(block)
    width, count, total, last = (batch.column(name).take(found.rows) for name in ("width", "count", "sum", "last"))
    total[found.absent], last[found.absent] = 0.0, 0.0
    samples = count.astype(np.float32)
    total /= samples
    rows = Rows(
        series=found.series,
        end=end.take(found.rows),
        width=width,
        samples=samples,
        mean=_within(total),
        last=_within(last),
        absent=found.absent,
    )
    return rows, found.rows


def _within(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    if numbers.max() > LARGEST or numbers.min() < -LARGEST:
        return np.clip(numbers, -LARGEST, LARGEST)
    return numbers


def _changed(outcome: Outcome) -> NDArray[np.int64]:
    return where(outcome.change != Change.NOTHING)


def _rounded(number: float) -> float:
    return float(f"{number:.9g}")


def _known(name: K | None) -> K:
    assert name is not None
    return name
