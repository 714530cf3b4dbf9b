"""How fast detection is and how much memory a series takes: the engine alone, on the mixed fleet, on one core."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import psutil

from analytics.detect.config import DetectConfig
from analytics.detect.engine import Engine
from compose.bench.detect.fleet import KINDS, Site, sites_of
from compose.bench.detect.fleet_batches import Gateway
from compose.processes.huge_pages import with_huge_pages
from ingest.contract.batch_wire import decode_batch, encode_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from ingest.contract.batch import RollupBatch

T = TypeVar("T")
P = TypeVar("P")

MOST_SERIES = 10_000_000
_KIB = 1024


class SpeedPlan(NamedTuple):
    """So many series, each gateway's in one batch; windows that are learned from first, then windows that are timed."""

    series: int = 1_000_000
    per_gateway: int = 100_000
    learned: int = 30
    timed: int = 9
    seed: int = 3


def run_speed(plan: SpeedPlan, told: Callable[[int], None] = lambda _: None) -> dict[str, float]:
    """Rows per second of CPU: from decoded batches to decisions, and beside it what decoding takes. Medians of windows.

    The series are as old as `learned` windows, when much is still new to them; older ones take less. In a process of its own,
    begun as `tidegate analytics run` begins. `told` is told of windows done, of `learned` and `timed`.
    """
    return _measured(_pace, plan, told)


def _pace(plan: SpeedPlan, sends: Connection) -> None:
    sites = sites_of(plan.series, plan.seed, plan.per_gateway)
    gateways = [Gateway(site, number) for number, site in enumerate(sites)]
    engine = Engine(DetectConfig(max_series=2 * plan.series))
    step_rates, decode_rates = [], []
    for number in range(plan.learned + plan.timed):
        batches = [gateway.batch(site.next(), number) for gateway, site in zip(gateways, sites, strict=True)]
        if number < plan.learned:
            _all_stepped(engine, batches)
        else:
            rows = sum(len(batch) for batch in batches)
            took, decoded = _cpu(partial(_all_decoded, [encode_batch(batch) for batch in batches]))
            decode_rates.append(rows / took)
            took, _ = _cpu(partial(_all_stepped, engine, decoded))
            step_rates.append(rows / took)
        sends.send(1)
    sends.send(
        {
            "rows_per_core_second": round(float(np.median(step_rates))),
            "rows_per_core_second_slowest": round(min(step_rates)),
            "rows_per_core_second_fastest": round(max(step_rates)),
            "decode_rows_per_core_second": round(float(np.median(decode_rates))),
            "speed_series": len(engine.table),
        }
    )


class MemoryPlan(NamedTuple):
    """So many series, `per_gateway` of them in a batch, two windows of each."""

    series: int = 1_000_000
    per_gateway: int = 100_000
    seed: int = 4

    @property
    def gateways(self) -> int:
        """How many."""
        return max(1, round(self.series / self.per_gateway))


def run_memory(plan: MemoryPlan, told: Callable[[int], None] = lambda _: None) -> dict[str, float]:
    """Resident bytes for each series in a process of its own, with index and names; the most there was meanwhile.

    `told` is told of gateways done, of twice as many as there are.
    """
    return _measured(_grow, plan, told)


def _measured(measure: Callable[[P, Connection], None], plan: P, told: Callable[[int], None]) -> dict[str, float]:
    # In a process that begins with huge pages, as `tidegate analytics run` does.
    context = multiprocessing.get_context("spawn")
    receives, sends = context.Pipe(duplex=False)
    before = dict(os.environ)
    os.environ.update(with_huge_pages(os.environ))
    try:
        context.Process(target=measure, args=(plan, sends), daemon=True).start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    sends.close()
    while not isinstance(got := receives.recv(), dict):
        told(got)
    return got


def _grow(plan: MemoryPlan, sends: Connection) -> None:
    # What the first batch loads and sets up is no series' share.
    Engine(DetectConfig()).step(next(_batches(MemoryPlan(700, 700))))
    gc.collect()
    engine = Engine(DetectConfig(max_series=min(MOST_SERIES, plan.series)))
    Path("/proc/self/clear_refs").write_text("5")  # from here on the kernel notes the most that is resident
    before = psutil.Process().memory_info().rss
    for batch in _batches(plan):
        engine.step(batch)
        sends.send(1)
    del batch
    gc.collect()
    series = len(engine.table)
    sends.send(
        {
            "bytes_per_series": round((psutil.Process().memory_info().rss - before) / series, 1),
            "peak_bytes_per_series": round((_most_resident() - before) / series, 1),
            "memory_series": series,
        }
    )


def _batches(plan: MemoryPlan) -> Iterator[RollupBatch]:
    # A site is forgotten as soon as it has spoken: only what the engine keeps stays.
    for window in range(2):
        for number in range(plan.gateways):
            site = Site(plan.seed, number, plan.per_gateway // len(KINDS))
            yield Gateway(site, number).batch(site.next(), window)


def _most_resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * _KIB


def _all_decoded(encoded: list[bytes]) -> list[RollupBatch]:
    # Each gateway's tables are new objects, as they are when they come over the wire.
    return [decode_batch(value) for value in encoded]


def _all_stepped(engine: Engine, batches: list[RollupBatch]) -> None:
    for batch in batches:
        engine.step(batch)


def _cpu(work: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    done = work()
    return max(time.process_time() - began, 1e-9), done
