"""The rows of `tidegate bench edge`: which runs make them, and the figures they give."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose.bench.load import Load
from compose.bench.mix import START_MS, mix
from compose.bench.run import PER_MESSAGE, run
from compose.bench.sizes import sizes
from compose.bench.skab import fleet, read_skab

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compose.bench.contestants import Contestant
    from compose.bench.load import Stand
    from compose.bench.run import Figures

COMMIT_MS = 100
"""What an acknowledgement waits for the group commit, by the edge's default configuration."""
SKAB = Path("../shared/data/skab")
"""Where the data set is looked for, from where the command is called."""
STOCK_LEAST = 2_000
"""Messages a second that a broker which keeps 20 in flight must at least be able to deliver."""
_SHARES = (0.95, 0.88, 0.8, 0.7, 0.6, 0.5, 0.4)


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """How large the runs are; seconds are of feeding. `burst` goes as fast as it can, on one core."""

    speed: Load
    burst: Load
    steady_s: float
    memory: Load
    ack: Load
    stock: Load
    idle: Load
    wire: Load
    size_devices: int
    size_seconds: int


WHOLE = Sizing(
    speed=Load(devices=1_000, rate=20_000, seconds=18, introductions=5),
    burst=Load(devices=1_000, rate=0, seconds=8, core=0, introductions=5),
    steady_s=15,
    memory=Load(devices=10_000, rate=10_000, seconds=25, frames=25),
    ack=Load(devices=1_000, rate=5_000, seconds=12, introductions=5),
    stock=Load(devices=1_000, rate=0, seconds=10, introductions=5, in_flight=20, only_311=True),
    idle=Load(devices=1_000, rate=1_000, seconds=2, rest_s=15),
    wire=Load(devices=1_000, rate=1_000, seconds=120, frames=120, introductions=5),
    size_devices=1_000,
    size_seconds=1_000,
)
QUICK = Sizing(
    speed=Load(devices=50, rate=1_000, seconds=2, frames=10, window_s=1, introductions=5),
    burst=Load(devices=50, rate=0, seconds=1, frames=10, window_s=1, core=0),
    steady_s=2,
    memory=Load(devices=200, rate=400, seconds=2, frames=4, window_s=1),
    ack=Load(devices=50, rate=500, seconds=2, frames=10, window_s=1, introductions=5),
    stock=Load(devices=50, rate=0, seconds=2, frames=10, window_s=1, introductions=5, in_flight=20, only_311=True),
    idle=Load(devices=50, rate=100, seconds=1, frames=10, window_s=1, rest_s=2),
    wire=Load(devices=50, rate=50, seconds=3, frames=3, window_s=1),
    size_devices=20,
    size_seconds=20,
)


@dataclass(kw_only=True)
class Bench:
    """Contestants (the edge first), how often each run is made, and what it tells while it goes."""

    contestants: Sequence[Contestant]
    stand: Stand
    runs: int
    sizing: Sizing
    say: Callable[[str], None]
    made: int = field(default=0)

    async def once(self, contestant: Contestant, load: Load) -> Figures:
        """One run."""
        self.made += 1
        figures = await run(contestant, load, self.stand, self.made)
        self.say(
            f"{contestant.name:<9} {figures.sent:>9,} messages at {figures.feed.sent_per_s:>8,.0f}/s: "
            f"{figures.messages_per_cpu_second:>8,.0f} per CPU second, {figures.rss_mib:.0f} MiB, "
            f"ack p99 {figures.feed.ack_p99_ms:.0f} ms, {'all' if figures.lossless else f'{figures.counted:,} of {figures.sent * PER_MESSAGE:,}'} counted"
        )
        return figures

    async def alternating(self, load: Load) -> dict[str, list[Figures]]:
        """`runs` of each contestant in turn, so that what else the machine does falls on all."""
        found: dict[str, list[Figures]] = {contestant.name: [] for contestant in self.contestants}
        for _ in range(self.runs):
            for contestant in self.contestants:
                found[contestant.name].append(await self.once(contestant, load))
        return found


async def speed(bench: Bench) -> dict[str, Any]:
    """Messages per CPU second, everything included, at one rate for all."""
    found = await bench.alternating(bench.sizing.speed)
    per_cpu = {name: _median(runs, lambda one: one.messages_per_cpu_second) for name, runs in found.items()}
    figures: dict[str, Any] = {_key("messages_per_cpu_second", name): round(value) for name, value in per_cpu.items()}
    if "telegraf" in per_cpu:
        figures["ratio"] = round(per_cpu["edge"] / per_cpu["telegraf"], 2)
    figures["lossless"] = all(one.lossless for runs in found.values() for one in runs)
    return figures


async def capacity(bench: Bench) -> dict[str, Any]:
    """The highest rate on one core without loss or growing lag: from what a burst reaches downwards, until one holds."""
    found: dict[str, Any] = {}
    for one in bench.contestants:
        found[_key("max_lossless_rate", one.name)] = round(await _highest(bench, one))
    if "telegraf_max_lossless_rate" in found:
        found["max_lossless_rate_ratio"] = round(found["max_lossless_rate"] / found["telegraf_max_lossless_rate"], 2)
    return found


async def _highest(bench: Bench, contestant: Contestant) -> float:
    burst = await bench.once(contestant, bench.sizing.burst)
    reached = burst.feed.acked_in_time / burst.feed.seconds
    for share in _SHARES:
        load = replace(bench.sizing.burst, rate=share * reached, seconds=bench.sizing.steady_s)
        held = await bench.once(contestant, load)
        if _holds(held, load):
            return held.feed.sent_per_s
    return 0.0


def _holds(one: Figures, load: Load) -> bool:
    # Everything sent in time, nothing lost, and at the end less than a second's worth was unacknowledged.
    on_time = one.sent >= 0.98 * load.rate * load.seconds
    return one.lossless and on_time and one.sent - one.feed.acked_in_time <= load.rate


async def memory(bench: Bench) -> dict[str, Any]:
    """Resident memory with every series of the mix once a second."""
    found = await bench.alternating(bench.sizing.memory)
    return {_key("rss_mib", name): round(_median(runs, lambda one: one.rss_mib)) for name, runs in found.items()}


async def live_wire(bench: Bench) -> dict[str, Any]:
    """Bytes in Kafka's segments for a raw sample: two minutes of the mix, once a second; one run each, bytes hardly vary."""
    found = [await bench.once(contestant, bench.sizing.wire) for contestant in bench.contestants]
    wire = {one.name: run.wire_bytes_per_sample for one, run in zip(bench.contestants, found, strict=True)}
    figures = {_key("live_wire_bytes_per_sample", name): round(value, 3) for name, value in wire.items()}
    if "telegraf" in wire:
        figures["live_wire_times_smaller"] = round(wire["telegraf"] / wire["edge"], 1)
    return figures


async def acknowledging(bench: Bench) -> dict[str, Any]:
    """From a message's way out of the feeder to its PUBACK, beyond the commit interval."""
    runs = [await bench.once(bench.contestants[0], bench.sizing.ack) for _ in range(bench.runs)]
    return {"ack_p99_ms": round(max(0.0, _median(runs, lambda one: one.feed.ack_p99_ms) - COMMIT_MS), 1)}


async def stock_broker(bench: Bench) -> dict[str, Any]:
    """Messages a second from a broker that speaks MQTT 3.1.1 only and keeps 20 in flight, as Mosquitto does by default."""
    runs = [await bench.once(bench.contestants[0], bench.sizing.stock) for _ in range(bench.runs)]
    reached = round(_median(runs, lambda one: one.feed.sent_per_s))
    bench.say(f"at a stock broker {reached:,} messages/s, at least {STOCK_LEAST:,} wanted")
    return {"stock_messages_per_second": reached, "stock_enough": reached >= STOCK_LEAST}


async def idle(bench: Bench) -> dict[str, Any]:
    """CPU while all devices are silent, heartbeats and flushes included."""
    runs = [await bench.once(bench.contestants[0], bench.sizing.idle) for _ in range(bench.runs)]
    return {"idle_cpu_percent": round(_median(runs, lambda one: one.rest_cpu_percent), 2)}


async def wire_and_journal(bench: Bench) -> dict[str, Any]:
    """Bytes per raw sample, of the mix and, where the data set lies beside the project, of SKAB."""
    sizing, folder = bench.sizing, bench.stand.folder
    warm_s = min(20, sizing.size_seconds // 5)
    found = sizes(mix(sizing.size_devices, sizing.size_seconds, 1), folder / "sizes-mix", warm_s)
    figures = {"wire_bytes_per_sample": round(found.wire, 3), "journal_bytes_per_sample": round(found.journal, 3)}
    if SKAB.is_dir():  # noqa: ASYNC240 - nothing runs beside it
        pumps = fleet(read_skab(SKAB), sizing.size_devices, sizing.size_seconds, START_MS)
        skab = sizes(pumps, folder / "sizes-skab", warm_s)
        figures |= {"skab_wire_bytes_per_sample": round(skab.wire, 3)}
        figures |= {"skab_journal_bytes_per_sample": round(skab.journal, 3)}
    return figures


ROWS = {
    "speed": speed,
    "capacity": capacity,
    "memory": memory,
    "ack": acknowledging,
    "stock": stock_broker,
    "idle": idle,
    "wire": live_wire,
    "bytes": wire_and_journal,
}
"""By the name that `--only` takes."""


def _key(figure: str, contestant: str) -> str:
    return figure if contestant == "edge" else f"{contestant}_{figure}"


def _median(runs: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    return statistics.median(figure(one) for one in runs)
