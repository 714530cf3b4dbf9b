"""Detection on arrays: windows of one or more devices, fed one point in time after another through the live engine's step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.columns import Columns
from analytics.detect.alarms import Alarms
from analytics.detect.config import DetectConfig
from analytics.detect.pools import CohortKey, Pools
from analytics.detect.rarities import merged
from analytics.detect.round import LARGEST, Change, Memory, Outcome, Rows, Rules, step
from analytics.detect.score import score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from analytics.detect.merge import Merged

_ROUGHLY = 0.5
"""The width of windows is the middle of the steps in time."""
MINUTE = 60_000
LONGEST = 2**32 - 1
"""No window is wider."""
DEFAULT_RATE = DetectConfig().false_alerts_per_1k_series_day


class Watch:
    """So many series, each of a cohort (an empty metric: of none, so that its own past decides)."""

    def __init__(self, cohorts: Sequence[CohortKey], config: DetectConfig) -> None:
        self.table, self.alarms = Columns(len(cohorts)), Alarms()
        self.pools = Pools(config.false_alerts_per_1k_series_day, config.pooled_windows, config.own_windows)
        self._rules = Rules.of(config)
        self._width = np.array([cohort.width for cohort in cohorts], np.int64)
        for series, key in enumerate(cohorts):
            cohort = self.pools.cohort(key)
            self.pools.move(-1, cohort, 1)
            self.table["cohort"][series], self.table["width"][series] = cohort, key.width

    def step(self, series: NDArray[np.int64], start: NDArray[np.int64], values: NDArray[np.float64]) -> Outcome:
        """One window of each of distinct `series`, shape (rows,): when it starts (ms), its value, finite.

        A window that is not later than the last of its series is looked at as if it followed it at once.
        """
        width = self._width[series]
        end = np.maximum(start + width, self.table["last_end"][series] + 1)
        values = np.clip(values, -LARGEST, LARGEST)
        rows = Rows(series.astype(np.int32), end, width, np.ones(len(series), np.float32), values, values)
        return step(Memory(self.table, self.alarms, self.pools, self._rules), rows)

    def merged(self, series: NDArray[np.int64], found: Outcome) -> Merged:
        """How rare each row is by all detectors, shape (rows,)."""
        return merged(self.pools, self.table["cohort"][series], found)

    def pooled(self, series: NDArray[np.int64], merged: Merged) -> NDArray[np.bool_]:
        """Whether a pool speaks for the deciding detector of each row, shape (rows,)."""
        return self.pools.speaks(self.table["cohort"][series], merged.detector)

    def asked(self, series: NDArray[np.int64]) -> NDArray[np.float64]:
        """The rarity that it takes to alarm, shape (rows,)."""
        asked: NDArray[np.float64] = -np.log(self.pools.asked[self.table["cohort"][series]])
        return asked


class Detection(NamedTuple):
    """Of each row and metric, shape (rows, metrics).

    `score` 0 to 1, one half where it is as rare as asked for; `alert`; `entered`: where an alarm begins; `expected`, `scale`:
    level and scale; `rarity`: minus the logarithm of the merged probability; `begun`: the rarity where something new begins,
    0 elsewhere; `detector`: the number of the one that decides, `signal`: of the signal that is the newest; `pooled`: a pool
    speaks, not the series' own past; `new_normal`: where an alarm ended because it had lasted.
    """

    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    entered: NDArray[np.bool_]
    expected: NDArray[np.float64]
    scale: NDArray[np.float32]
    rarity: NDArray[np.float64]
    begun: NDArray[np.float32]
    detector: NDArray[np.uint8]
    signal: NDArray[np.uint8]
    pooled: NDArray[np.bool_]
    new_normal: NDArray[np.bool_]


def detect(
    times: NDArray[np.int64], values: NDArray[np.float64], rate: float = DEFAULT_RATE, width_ms: int | None = None
) -> Detection:
    """Watch one device's `values` of shape (rows, metrics) at `times` (ms), shape (rows,), one row after another.

    NaN is a gap. `rate`: false alerts asked for, per 1,000 series and day. `width_ms`: of a window; left out, it is the
    middle step between times, the only thing here that looks at all rows. Raises ValueError for shapes that do not fit.
    """
    (found,) = detect_devices([(times, values)], rate, width_ms)
    return found


def detect_devices(
    devices: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
    rate: float = DEFAULT_RATE,
    width_ms: int | None = None,
    metrics: Sequence[Sequence[str]] = (),
    told: Callable[[int], None] = lambda _: None,
) -> list[Detection]:
    """Watch several devices side by side, the n-th row of each at once; see `detect`.

    `metrics`: names by device. Where five or more devices name the same metric, these series are pooled: what is rare among
    all of them decides. Without names each device stands for itself. `told` is told of each row that is done.
    """
    for times, values in devices:
        if values.ndim != 2 or times.shape != values.shape[:1]:  # noqa: PLR2004 - rows and metrics
            raise ValueError(f"expected times (rows,) and values (rows, metrics), found {times.shape}, {values.shape}")
    tenants = [("" if metrics else f"{device}", values.shape[1]) for device, (_, values) in enumerate(devices)]
    width = [width_ms or usual_step(times) for times, _ in devices]
    cohorts = [
        CohortKey(tenant, metrics[device][n] if metrics else f"{n}", "", width[device])
        for device, (tenant, number) in enumerate(tenants)
        for n in range(number)
    ]
    watch = Watch(cohorts, DetectConfig(false_alerts_per_1k_series_day=rate))
    start, values = _side_by_side(devices)
    found = _nothing(values)
    columns: Iterable[NDArray[Any]] = found
    for row in range(len(values)):
        series = np.flatnonzero(np.isfinite(values[row]))
        if series.size:
            for column, some in zip(
                columns, _take(watch, series, start[row, series], values[row, series]), strict=True
            ):
                column[row, series] = some
        told(1)
    ends = np.cumsum([number for _, number in tenants])
    return [
        Detection._make(column[: len(times), end - v.shape[1] : end] for column in found)
        for (times, v), end in zip(devices, ends, strict=True)
    ]


def _side_by_side(
    devices: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # The n-th row of each, NaN where a device has no more.
    rows = max((len(times) for times, _ in devices), default=0)
    start = np.zeros((rows, sum(values.shape[1] for _, values in devices)), np.int64)
    side_by_side, first = np.full(start.shape, np.nan), 0
    for times, values in devices:
        mine = slice(first, first := first + values.shape[1])
        start[: len(times), mine], side_by_side[: len(times), mine] = times[:, None], values
    return start, side_by_side


def _take(watch: Watch, series: NDArray[np.int64], start: NDArray[np.int64], values: NDArray[np.float64]) -> Detection:
    seen = watch.step(series, start, values)
    merged = watch.merged(series, seen)
    return Detection(
        score=score(merged.rarity, watch.asked(series)),
        alert=watch.table["alarm"][series] > 0,
        entered=seen.change == Change.ENTERED,
        expected=seen.expected,
        scale=seen.scale,
        rarity=merged.rarity,
        begun=np.where(seen.begun, seen.rarity, np.float32(0.0)),
        detector=merged.detector,
        signal=seen.part,
        pooled=watch.pooled(series, merged),
        new_normal=seen.change == Change.NEW_NORMAL,
    )


def usual_step(times: NDArray[np.int64]) -> int:
    """The middle of the steps between times in ms, at least 1, at most `LONGEST`."""
    steps = np.diff(times)
    return int(np.clip(np.quantile(steps[steps > 0], _ROUGHLY), 1, LONGEST)) if (steps > 0).any() else MINUTE


def _nothing(values: NDArray[np.float64]) -> Detection:
    dtypes = ("f8", "?", "?", "f8", "f4", "f8", "f4", "u1", "u1", "?", "?")
    return Detection._make(np.zeros(values.shape, dtype) for dtype in dtypes)
