"""After an outage: how fast the real process drains its backlog to the real Kafka, and what that costs live data."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from compose.bench.arrivals import Arrivals
from compose.bench.backlog import Backlog, Outage, write_backlog
from compose.bench.children import begin, feeding, line_of, running
from compose.bench.contestants import TENANT, Edge, Place
from compose.bench.feed import FeedReport
from compose.bench.load import Load
from compose.bench.mix import METRICS
from compose.bench.stand import stand
from edge_aggregator.config import EdgeConfig, milliseconds
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    import psutil

    from compose.bench.load import Stand
    from compose.stack.steps import Say

LEAST_TIMES, MOST_WINDOWS = 100.0, 2.0
SITE = "drain"
_CLOCK = SystemClock()
_SETTLE_S = 1.5


class DrainLoad(NamedTuple):
    """An outage of `outage_s`, then `seconds` of draining beside live data of the same `devices`, once a second each."""

    devices: int = 1_000
    outage_s: int = 86_400
    seconds: float = 300.0
    window_s: float = 10.0


QUICK = DrainLoad(devices=50, outage_s=300, seconds=5.0, window_s=1.0)


async def measure(folder: Path, load: DrainLoad, say: Say) -> dict[str, Any]:
    """Write the backlog, then drain it. Raises BenchFailedError, StackError."""
    with tempfile.TemporaryDirectory(prefix="drain-", dir=folder) as place:
        begun = _CLOCK.monotonic()
        outage = Outage(load.devices, load.outage_s, _CLOCK.now_ms())
        backlog = await asyncio.to_thread(write_backlog, _config(Path(place), load), outage, say)
        say(f"{backlog.records:,} records of {backlog.bytes / 2**20:.0f} MiB wait; draining for {load.seconds:.0f} s")
        wrote_s = _CLOCK.monotonic() - begun
        async with stand(folder, say) as servers:
            return _figures(await _drain(Path(place), load, backlog, servers), load, backlog, wrote_s)


def _config(folder: Path, load: DrainLoad) -> EdgeConfig:
    # The same gateway as the process that starts afterwards; rooms ask for no key and no broker.
    return EdgeConfig(
        tenant=TENANT,
        site=SITE,
        gateway=f"gateway-{SITE}",
        key_file=str(folder / "key.pem"),
        data_dir=str(folder / "data"),
        window_s=load.window_s,
        idle_close_s=load.window_s / 2,
    )


class _Drained(NamedTuple):
    """`begun_ms`: when the process was started."""

    begun_ms: int
    arrivals: Arrivals
    report: FeedReport
    cpu_s: float


async def _drain(folder: Path, load: DrainLoad, backlog: Backlog, servers: Stand) -> _Drained:
    fed = Load(devices=load.devices, rate=load.devices, seconds=load.seconds, window_s=load.window_s)
    async with feeding(fed, servers, SITE) as feeder:
        mqtt = msgspec.structs.replace(servers.endpoints.mqtt, port=int((await line_of(feeder))["port"]))
        place = Place(folder=folder, site=SITE, mqtt=mqtt, kafka=servers.endpoints.kafka, window_s=load.window_s)
        await servers.log.ensure_topics(Edge().topics(place))
        begun_ms = _CLOCK.now_ms()
        late_ms = milliseconds(_config(folder, load).historical_after_s)
        arrivals = Arrivals(servers.log, _CLOCK, backlog, begun_ms, late_ms)
        reading = asyncio.create_task(arrivals.run())
        try:
            async with running(Edge(), place, fed, servers) as process:
                report = await _feed(feeder, arrivals, fed)
                return _Drained(begun_ms, arrivals, report, _cpu(process))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _feed(feeder: Process, arrivals: Arrivals, fed: Load) -> FeedReport:
    while not (await line_of(feeder)).get("ready"):
        pass
    await asyncio.sleep(_SETTLE_S)
    report = msgspec.convert(await begin(feeder, fed.seconds + 120), FeedReport)
    # The last windows are part of the lag as well, however late they come.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(6 * fed.window_s + 10):
            await arrivals.live(report.sent * len(METRICS))
    return report


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _figures(drained: _Drained, load: DrainLoad, backlog: Backlog, wrote_s: float) -> dict[str, Any]:
    arrivals, limit = drained.arrivals, drained.begun_ms + 1000 * load.seconds
    old = [(at, rows) for at, rows in arrivals.old if at <= limit]
    series = load.devices * len(METRICS)
    drained_s = sum(rows for _, rows in old) * load.window_s / series
    whole = drained_s >= (backlog.end_ms - backlog.begin_ms) / 1000 - load.window_s
    took_s = (max(at for at, _ in old) - drained.begun_ms) / 1000 if whole else load.seconds
    lags = np.concatenate([*arrivals.lags, np.zeros(0)]) / 1000
    median, late = np.percentile(lags, (50, 99)).tolist() if len(lags) else (-1.0, -1.0)
    times, windows = drained_s / took_s, late / load.window_s
    return {
        "devices": load.devices,
        "outage_s": load.outage_s,
        "written_in_s": round(wrote_s),
        "backlog_records": backlog.records,
        "backlog_mib": round(backlog.bytes / 2**20, 1),
        "backlog_merged": backlog.merged,
        "drained_s": round(drained_s),
        "drained_whole": whole,
        "took_s": round(took_s, 1),
        "times_real_time": round(times, 1),
        "backlog_marked": arrivals.marked,
        "live_messages": drained.report.sent,
        "live_lossless": arrivals.live_samples == drained.report.sent * len(METRICS),
        "live_lag_p50_s": round(median, 2),
        "live_lag_p99_s": round(late, 2),
        "live_lag_p99_windows": round(windows, 2),
        "cpu_s": round(drained.cpu_s, 1),
        "passed": times >= LEAST_TIMES and 0 <= windows <= MOST_WINDOWS and arrivals.marked,
    }
