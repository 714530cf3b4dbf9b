"""One measured run: a feeder, a contestant, and what of it arrived in Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec
import psutil

from compose.bench.children import begin, feeding, line_of, running
from compose.bench.contestants import Place
from compose.bench.feed import FeedReport
from compose.bench.kafka_count import SampleCount, segment_bytes
from compose.bench.load import BenchFailedError
from compose.bench.mix import METRICS

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from compose.bench.contestants import Contestant
    from compose.bench.load import Load, Stand

MIB = 1024 * 1024
PER_MESSAGE = len(METRICS)
_SETTLE_S = 1.5


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one run gave. `cpu_s` from the first message after the introductions until the last window was in Kafka."""

    sent: int
    counted: int
    lossless: bool
    cpu_s: float
    rest_cpu_percent: float
    rss_mib: float
    wire_bytes: int
    folder_bytes: int
    feed: FeedReport

    @property
    def messages_per_cpu_second(self) -> float:
        """Messages for a second of the process' own user and system time."""
        return self.sent / self.cpu_s if self.cpu_s else 0.0

    @property
    def wire_bytes_per_sample(self) -> float:
        """Bytes in Kafka's segments for each sample."""
        return self.wire_bytes / (self.sent * PER_MESSAGE)


async def run(contestant: Contestant, load: Load, stand: Stand, number: int) -> Figures:
    """One run; `number` makes its names its own. Raises BenchFailedError."""
    site = f"run-{number}"
    async with feeding(load, stand, site) as feeder:
        mqtt = stand.endpoints.mqtt
        if not load.through_broker:
            mqtt = msgspec.structs.replace(mqtt, port=int((await line_of(feeder))["port"]))
        place = Place(
            folder=stand.folder / site, site=site, mqtt=mqtt, kafka=stand.endpoints.kafka, window_s=load.window_s
        )
        await stand.log.ensure_topics(contestant.topics(place))
        async with running(contestant, place, load, stand) as process:
            count = SampleCount(stand.log, contestant, place)
            figures = await _measure(count, process, feeder, load, stand)
        return msgspec.structs.replace(figures, folder_bytes=_folder_bytes(place.folder / "data" / "journal"))


async def _measure(count: SampleCount, process: psutil.Process, feeder: Process, load: Load, stand: Stand) -> Figures:
    memory = _Memory(process)
    beside = [asyncio.create_task(count.run()), asyncio.create_task(memory.watch())]
    try:
        while not (await line_of(feeder)).get("ready"):
            pass
        await asyncio.sleep(_SETTLE_S + (2 * _SETTLE_S if load.through_broker else 0))
        wire, cpu = segment_bytes(stand.kafka_data), _cpu(process)
        report = msgspec.convert(await begin(feeder, load.seconds + 120), FeedReport)
        expected = (report.sent + report.introduced) * PER_MESSAGE
        await count.until(expected, 3 * load.window_s + 5)
        spent, wire = _cpu(process) - cpu, segment_bytes(stand.kafka_data) - wire
        return Figures(
            sent=report.sent,
            counted=count.total - report.introduced * PER_MESSAGE,
            lossless=count.total == expected and report.acked == report.sent,
            cpu_s=spent,
            rest_cpu_percent=await _resting(process, load.rest_s),
            rss_mib=memory.most,
            wire_bytes=wire,
            folder_bytes=0,
            feed=report,
        )
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _resting(process: psutil.Process, seconds: float) -> float:
    if not seconds:
        return 0.0
    await asyncio.sleep(2.0)
    before = _cpu(process)
    await asyncio.sleep(seconds)
    return 100 * (_cpu(process) - before) / seconds


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        raise BenchFailedError("the measured process has ended") from None
    return float(times.user + times.system)


class _Memory:
    """Looks at the resident memory now and then; `most` is the most that was seen, in MiB."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.most = 0.0

    async def watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                self.most = max(self.most, self._process.memory_info().rss / MIB)
                await asyncio.sleep(0.25)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0
