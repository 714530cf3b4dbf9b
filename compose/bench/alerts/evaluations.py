"""How fast rules about series are judged: the engine alone, on one core, with decoded batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.rules.kinds import Absence, Scope, SeriesRule, Threshold
from analytics.rules.partition import Partition
from compose.bench.detect.fleet_batches import ledger_entry
from ingest.contract.batch import DeviceRow, MetricRow, Origin, RollupBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTH, T0 = 10_000, 1_790_553_600_000
METRICS = 10
_CALM, _ILL = 40.0, 100.0


class SpeedPlan(NamedTuple):
    """So many series, each gateway's in one batch; `ill` of them beyond a bound; windows to warm up, windows that are timed."""

    series: int = 1_000_000
    per_gateway: int = 100_000
    rules: int = 20
    ill: float = 0.001
    warm: int = 4
    timed: int = 7
    seed: int = 7


QUICK = SpeedPlan(series=10_000, per_gateway=5_000, timed=3)


def run_evaluations(plan: SpeedPlan, told: Callable[[int], None] = lambda _: None) -> dict[str, float]:
    """Judgements of one window by one rule per second of CPU, median of windows.

    A tenth of the ill series changes with each window. `told` is told of windows done.
    """
    partition = Partition(_rules(plan.rules), 2 * plan.series, 7 * 86_400_000)
    gateways = [_Gateway(plan, number) for number in range(plan.series // plan.per_gateway)]
    rates, findings = [], 0
    for window in range(plan.warm + plan.timed):
        batches = [gateway.batch(window) for gateway in gateways]
        before, began = partition.evaluations, time.process_time()
        found = sum(len(partition.take(batch)) for batch in batches)
        took = max(time.process_time() - began, 1e-9)
        if window >= plan.warm:
            rates.append((partition.evaluations - before) / took)
            findings += found
        told(1)
    return {
        "evaluations_per_core_second": round(float(np.median(rates))),
        "evaluations_per_core_second_slowest": round(min(rates)),
        "evaluations_series": len(partition.series),
        "evaluations_rules": plan.rules,
        "evaluations_findings": findings,
        "evaluations_active": sum(partition.active().values()),
    }


def _rules(number: int) -> list[SeriesRule]:
    # Every rule looks at every series: thresholds with `for` and hysteresis, and as every fourth one absence.
    return [
        Absence(name=f"gone-{n}", metric="*", hold="90s", where=Scope())
        if n % 4 == 0
        else Threshold(name=f"high-{n}", metric="*", above=60.0 + n, leave=50.0, hold="20s", keep="20s")
        for n in range(number)
    ]


class _Gateway:
    def __init__(self, plan: SpeedPlan, number: int) -> None:
        self._plan, self._chance = plan, np.random.default_rng((plan.seed, number))
        devices = plan.per_gateway // METRICS
        self._origin = Origin("bench", f"site-{number}", f"gateway-{number}", "boot")
        self._devices = [DeviceRow(f"device-{number}-{one}", "1.0.0", "rev-a", "bench") for one in range(devices)]
        self._metrics = [MetricRow(f"m{metric}") for metric in range(METRICS)]
        rows = devices * METRICS
        self._ill = self._chance.choice(rows, max(1, round(rows * plan.ill)), replace=False)
        self._columns = {
            "device": np.repeat(np.arange(devices, dtype="<u4"), METRICS),
            "metric": np.tile(np.arange(METRICS, dtype="<u2"), devices),
            "width": np.full(rows, WIDTH, "<u4"),
            "count": np.full(rows, 10, "<u4"),
            "revision": np.zeros(rows, "<u2"),
        }

    def batch(self, window: int) -> RollupBatch:
        values = self._values()
        columns = self._columns | {
            "start": np.full(len(values), T0 + window * WIDTH, "<i8"),
            "sum": 10 * values,
            "sumsq": 10 * values**2,
            "min": values,
            "max": values,
            "last": values,
        }
        return RollupBatch(
            origin=self._origin,
            seq=window + 1,
            created=T0 + (window + 1) * WIDTH,
            historical=False,
            devices=self._devices,
            metrics=self._metrics,
            columns=columns,
            ledger=ledger_entry(window + 1, 10 * len(values)),
        )

    def _values(self) -> NDArray[np.float64]:
        rows = len(self._columns["device"])
        changed = self._chance.random(len(self._ill)) < 0.1  # noqa: PLR2004 - a tenth
        self._ill[changed] = self._chance.integers(0, rows, int(changed.sum()))
        values = self._chance.normal(_CALM, 1.0, rows)
        values[self._ill] = _ILL
        return values
