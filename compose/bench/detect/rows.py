"""What `tidegate bench detect` can measure: each row by its name, how long it is, and the bars that it is held against."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from compose.bench.detect.fleet_found import FoundPlan, run_found
from compose.bench.detect.fleet_quiet import QuietPlan, run_quiet
from compose.bench.detect.latency import measure_latency
from compose.bench.detect.latency_devices import LatencyPlan
from compose.bench.detect.peers import CONTESTS, run_peers
from compose.bench.detect.run import SETS
from compose.bench.detect.speed import MemoryPlan, SpeedPlan, run_memory, run_speed
from compose.bench.stand import stand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from compose.stack.steps import Say

    Told = Callable[[int], None]


class Sizing(NamedTuple):
    """How much is done in each row."""

    quiet: QuietPlan
    found: FoundPlan
    speed: SpeedPlan
    memory: MemoryPlan
    latency: LatencyPlan


WHOLE = Sizing(QuietPlan(), FoundPlan(), SpeedPlan(), MemoryPlan(), LatencyPlan(past=280))
QUICK = Sizing(
    QuietPlan(series=700, days=0.2, partitions=1),
    FoundPlan(series=1_400, learn=150, quiet=60, faulty=250, each=2),
    SpeedPlan(series=1_400, per_gateway=700, learned=15, timed=3),
    MemoryPlan(series=14_000, per_gateway=7_000),
    LatencyPlan(devices=100, window_s=1.0, period_s=0.5, past=60, waves=2, wave=5, lasting=4),
)
"""Seconds instead of minutes."""


class Asked(NamedTuple):
    """`data` holds nab, skab and smd; `folder` is where servers may write; `say` tells of what else happens."""

    data: Path | None
    folder: Path
    sizing: Sizing
    say: Say


class Row(NamedTuple):
    """`steps`: how often `run` will call what it is told with, 0 where nobody knows. `data`: from the labelled sets."""

    steps: Callable[[Asked], int]
    run: Callable[[Asked, Told], Mapping[str, Any]]
    data: bool = False


def _labelled(name: str) -> Row:
    return Row(lambda _: 0, lambda asked, _: SETS[name](_data(asked) / name), data=True)


def _peers(name: str) -> Row:
    contest = CONTESTS[name]
    return Row(
        lambda _: contest.runs(),
        lambda asked, told: run_peers(contest, contest.read(_data(asked) / name), told),
        data=True,
    )


def _latency(asked: Asked, _: Told) -> Mapping[str, Any]:
    async def measured() -> Mapping[str, Any]:
        async with stand(asked.folder, asked.say) as made:
            return await measure_latency(asked.sizing.latency, made)

    return asyncio.run(measured())


def _data(asked: Asked) -> Path:
    if asked.data is None:
        raise FileNotFoundError("the labelled sets are read from --data FOLDER, with nab, skab and smd in it")
    return asked.data


ROWS: dict[str, Row] = {
    **{name: _labelled(name) for name in SETS},
    "peers": _peers("nab"),
    "peers-skab": _peers("skab"),
    "peers-smd": _peers("smd"),
    "quiet": Row(
        lambda asked: asked.sizing.quiet.windows * asked.sizing.quiet.partitions,
        lambda asked, told: run_quiet(asked.sizing.quiet, told),
    ),
    "faults": Row(
        lambda asked: 2 * asked.sizing.found.windows,
        lambda asked, told: run_found(asked.sizing.found, told),
    ),
    "speed": Row(
        lambda asked: asked.sizing.speed.learned + asked.sizing.speed.timed,
        lambda asked, told: run_speed(asked.sizing.speed, told),
    ),
    "memory": Row(
        lambda asked: 2 * asked.sizing.memory.gateways,
        lambda asked, told: run_memory(asked.sizing.memory, told),
    ),
    "latency": Row(lambda _: 0, _latency),
}

LEAST = {
    "nab_standard": 66.0,
    "nab_low_fp": 58.0,
    "nab_low_fn": 72.0,
    "smd_vus_pr": 0.60,
    "smd_rca_at1": 0.88,
    "skab_auc_pr": 0.86,
    "nab_default_over_best_f1": 0.85,
    "skab_default_over_best_f1": 0.85,
    "smd_default_over_best_f1": 0.85,
    "rows_per_core_second": 5e6,
}
MOST = {
    "nab_split_loss": 3.0,
    "false_alerts_per_1k_series_day": 0.1,
    "bytes_per_series": 400.0,
    "alert_latency_p99_s": 2.0,
}


def missed(figures: Mapping[str, Any]) -> list[str]:
    """The bars that these figures miss, in words; a figure that was not measured misses none."""
    below = [
        f"{name}: {figures[name]} below {least:g}" for name, least in LEAST.items() if figures.get(name, least) < least
    ]
    above = [f"{name}: {figures[name]} above {most:g}" for name, most in MOST.items() if figures.get(name, most) > most]
    behind = [f"faults: {name} not ahead of the textbook" for name in figures.get("faults_lost", ())]
    return below + above + behind
