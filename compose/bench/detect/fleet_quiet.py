"""How often detection cries wolf: a fleet in which nothing is wrong, through the engine that serves production."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from analytics.cohorts.tenant import Cohorts
from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from analytics.detect.round import Change
from compose.bench.detect.fleet import DAY, KINDS, sites_of
from compose.bench.detect.fleet_batches import T0, WIDTH, Gateway
from ingest.contract.events import AnomalyStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from ingest.contract.events import CohortEvent


class QuietPlan(NamedTuple):
    """So many series for so many days; each partition of the topic is an engine of its own, in a process of its own."""

    series: int = 100_000
    days: float = 7.0
    seed: int = 1
    partitions: int = 2

    @property
    def windows(self) -> int:
        """Of one minute."""
        return round(self.days * DAY)


class Quiet(NamedTuple):
    """What one partition said: alerts by day and kind, shape (days, kinds); `series` by kind; windows by outcome; `cohorts` over sites."""

    alerts: np.ndarray[Any, np.dtype[np.int64]]
    series: int
    counts: dict[str, int]
    cpu_s: float
    cohorts: Sequence[CohortEvent] = ()


def run_partition(plan: QuietPlan, partition: int, told: Callable[[], None] = lambda: None) -> Quiet:
    """The sites whose number falls to this partition, window by window; `told` is called after each window."""
    sites = list(enumerate(sites_of(plan.series, plan.seed)))[partition :: plan.partitions]
    gateways = [Gateway(site, number) for number, site in sites]
    engine = Engine(DetectConfig())
    alerts = np.zeros((int(np.ceil(plan.days)), len(KINDS)), np.int64)
    spent = 0.0
    for number in range(plan.windows):
        batches = [gateway.batch(site.next(), number) for gateway, (_, site) in zip(gateways, sites, strict=True)]
        began = time.process_time()
        decisions = [decision for batch in batches for decision in engine.step(batch)]
        spent += time.process_time() - began
        for decision in decisions:
            if decision.change == Change.ENTERED:
                day = ((decision.at - T0) // WIDTH - 1) // DAY
                alerts[day, KINDS.index(decision.metric.name)] += 1
        told()
    return Quiet(
        alerts, len(KINDS) * sum(site.devices for _, site in sites), dict(engine.counts), spent, engine.cohorts
    )


def quiet_figures(plan: QuietPlan, parts: Sequence[Quiet]) -> dict[str, Any]:
    """The rate over the whole run, learning included; by kind; of the first day and of those after it."""
    alerts = np.sum([part.alerts for part in parts], axis=0)
    thousands = sum(part.series for part in parts) / 1000
    rows = sum(part.counts.get("judged", 0) + part.counts.get("silent", 0) for part in parts)
    later = max(plan.days - 1, 0)
    return {
        "false_alerts_per_1k_series_day": _rate(alerts.sum(), thousands * plan.days),
        "false_alerts_by_kind": {
            kind: _rate(count, thousands / len(KINDS) * plan.days)
            for kind, count in zip(KINDS, alerts.sum(axis=0), strict=True)
        },
        "false_alerts_first_day": _rate(alerts[0].sum(), thousands * min(plan.days, 1)),
        "false_alerts_after_first_day": _rate(alerts[1:].sum(), thousands * later) if later else None,
        "quiet_alerts": int(alerts.sum()),
        "quiet_series": round(thousands * 1000),
        "quiet_days": plan.days,
        "quiet_rows": rows,
        "quiet_judged_share": round(sum(part.counts.get("judged", 0) for part in parts) / max(rows, 1), 4),
        **cohort_figures([event for part in parts for event in part.cohorts]),
        "quiet_rows_per_core_second": round(rows / max(sum(part.cpu_s for part in parts), 1e-9)),
    }


def cohort_figures(said: Sequence[CohortEvent]) -> dict[str, Any]:
    """How many cohorts over sites there are, and how often they alarmed; all partitions are read at the same pace."""
    cohorts = Cohorts("bench", DetectConfig())
    told = [event for one in sorted(said, key=lambda one: one.at) for event in cohorts.take(one, one.at)]
    begun = sum(event.status is AnomalyStatus.ENTERED for event in told)
    return {"quiet_cohorts": len(cohorts.charts), "quiet_cohort_alerts": begun}


def run_quiet(plan: QuietPlan, told: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """All partitions beside each other; `told` is told of windows done, of `windows` times `partitions`."""
    context = multiprocessing.get_context("spawn")
    parts: list[Quiet] = []
    waiting: list[Connection] = []
    for number in range(plan.partitions):
        receives, sends = context.Pipe(duplex=False)
        context.Process(target=_partition, args=(plan, number, sends), daemon=True).start()
        sends.close()
        waiting.append(receives)
    while waiting:
        for pipe in [cast("Connection", ready) for ready in wait(waiting)]:
            got = pipe.recv()
            if isinstance(got, Quiet):
                parts.append(got)
                waiting.remove(pipe)
            else:
                told(got)
    return quiet_figures(plan, parts)


def _partition(plan: QuietPlan, partition: int, sends: Connection) -> None:
    sends.send(run_partition(plan, partition, lambda: sends.send(1)))


def _rate(alerts: int, thousand_series_days: float) -> float:
    return round(float(alerts) / thousand_series_days, 5)
