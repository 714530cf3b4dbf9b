"""How long a gateway takes from its start to its readiness, with a full journal that a killed process has left."""

from __future__ import annotations

import asyncio
import shutil
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psutil

from compose.bench.filesystem import disk_figures
from compose.bench.gateway import running_gateway, written_config
from compose.bench.load import BenchFailedError
from compose.bench.start.fill import METRICS, FillPlan
from compose.bench.start.kept import LAGGING, USUAL, keep, restore
from compose.stack.ports import free_port
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compose.stack.steps import Say

BAR_S = 3.0
_MIB = 1 << 20
_PATIENCE_S, _POLL_S = 120.0, 0.01
_READYZ = b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
_CLOCK = SystemClock()


class Sizing(NamedTuple):
    """How large the gateway is; `unflushed` messages are committed after its last flush; it is started `runs` times."""

    devices: int
    journal_bytes: int
    file_bytes: int
    tail_s: int
    unflushed: int
    runs: int


MOST_UNFLUSHED = 140_000
"""A second at 20,000 messages, and then all that an intake of 32 MiB holds, four times the default."""
WHOLE = Sizing(1_000, 2048 * _MIB, 64 * _MIB, 60, MOST_UNFLUSHED, 5)
QUICK = Sizing(20, 2 * _MIB, _MIB // 4, 10, 200, 1)


async def measure(folder: Path, sizing: Sizing, say: Say) -> dict[str, Any]:
    """Start a gateway again and again from the very same files. Raises BenchFailedError, UnfitFileSystemError."""
    figures = disk_figures(folder)
    with tempfile.TemporaryDirectory(prefix="start-", dir=folder) as name:
        place, port = Path(name), free_port()
        bounds = {"journal_bytes": sizing.journal_bytes, "journal_file_bytes": sizing.file_bytes}
        config = await written_config(place, free_port(), observe_port=port, **bounds)
        empty = [await _start(config, port, place) for _ in range(sizing.runs)]
        shutil.rmtree(place / "edge")
        say(f"filling a journal of {sizing.journal_bytes / _MIB:.0f} MiB")
        figures |= await _filled(place, sizing)
        keep(place, LAGGING)
        figures |= {"runs": sizing.runs, "devices": sizing.devices, "series": sizing.devices * METRICS}
        figures |= _medians(empty, "empty_start")
        for kept, prefix in ((USUAL, ""), (LAGGING, "lagging_")):
            say(f"starting {sizing.runs} times from what was left {kept}")
            figures |= {
                prefix + key: value for key, value in (await _starts(place, config, port, kept, sizing)).items()
            }
    return figures | {"passed": max(figures["start_s"], figures["lagging_start_s"]) <= BAR_S}


async def _starts(place: Path, config: Path, port: int, kept: str, sizing: Sizing) -> dict[str, Any]:
    starts, recoveries = [], []
    for _ in range(sizing.runs):
        restore(place, kept)
        recoveries.append(await _recovery(place, sizing))
        restore(place, kept)
        starts.append(await _start(config, port, place))
    figures = {name: _median([found[name] for found in recoveries]) for name in recoveries[0]}
    return _medians(starts, "start") | {"slowest_start_s": round(max(starts)[0], 2)} | figures


def _medians(starts: Sequence[tuple[float, float]], name: str) -> dict[str, float]:
    seconds, cpu = zip(*starts, strict=True)
    return {f"{name}_s": _median(seconds), f"{name}_cpu_s": _median(cpu)}


def _median(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds), 2)


async def _filled(place: Path, sizing: Sizing) -> dict[str, Any]:
    plan = FillPlan(
        place=str(place),
        devices=sizing.devices,
        journal_bytes=sizing.journal_bytes,
        file_bytes=sizing.file_bytes,
        tail_s=sizing.tail_s,
        unflushed=sizing.unflushed // sizing.devices,
    )
    return await _told("compose.bench.start.fill", msgspec.json.encode(plan).decode(), killed=True)


async def _recovery(place: Path, sizing: Sizing) -> dict[str, Any]:
    arguments = (str(place), str(sizing.journal_bytes), str(sizing.file_bytes))
    return await _told("compose.bench.start.recovery", *arguments)


async def _told(module: str, *arguments: str, killed: bool = False) -> dict[str, Any]:
    argv = (sys.executable, "-m", module, *arguments)
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    answer, _ = await process.communicate()
    if process.returncode != (-signal.SIGKILL if killed else 0):
        raise BenchFailedError(f"{module} failed with {process.returncode}")
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


async def _start(config: Path, port: int, place: Path) -> tuple[float, float]:
    # Seconds, and seconds of CPU, which a busy machine does not stretch.
    begun = _CLOCK.monotonic()
    async with running_gateway(config, place / "output") as process:
        while not await _is_ready(port):
            if process.returncode is not None or _CLOCK.monotonic() > begun + _PATIENCE_S:
                raise BenchFailedError(f"the gateway does not start; it said: {(place / 'output').read_text()[-2000:]}")
            await asyncio.sleep(_POLL_S)
        took, cpu = _CLOCK.monotonic() - begun, psutil.Process(process.pid).cpu_times()
        process.kill()
    return took, cpu.user + cpu.system


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(_READYZ)
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")
