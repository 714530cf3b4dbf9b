"""One device floods a gateway's own listener: what that costs its neighbours, measured at the real process."""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compose.bench.flooder import IDS, PUBACK_BYTES, connected, publish
from compose.bench.gateway import running_gateway, written_config
from compose.bench.load import BenchFailedError
from compose.stack.ports import free_port
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.status import status
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compose.stack.steps import Say

MOST_RATIO, MOST_MS = 1.5, 250.0
_CLOCK = SystemClock()
_START_S, _SETTLE_S = 60.0, 1.0


class FloodLoad(NamedTuple):
    """`neighbours` devices of `rate` messages per second each; each phase takes `seconds`, `runs` are made in turn."""

    neighbours: int = 50
    rate: float = 10.0
    seconds: float = 10.0
    runs: int = 3


class Neighbour:
    """A well-behaved device; `waits` are the times (s) from each message to its PUBACK."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.waits: list[float] = []

    async def run(self, port: int, rate: float, seconds: float, delay_s: float) -> None:
        """Send a message at a time, each with its own timestamp."""
        await asyncio.sleep(delay_s)
        reader, writer = await connected(port, self._name)
        until, number = _CLOCK.monotonic() + seconds, 0
        while (begun := _CLOCK.monotonic()) < until:
            number += 1
            writer.write(publish(self._name, number % IDS + 1, _CLOCK.now_ms()))
            await reader.readexactly(PUBACK_BYTES)
            self.waits.append(_CLOCK.monotonic() - begun)
            await asyncio.sleep(max(0.0, 1 / rate - self.waits[-1]))
        writer.close()


async def measure(folder: Path, load: FloodLoad, say: Say) -> dict[str, Any]:
    """The neighbours' PUBACK p99 alone and under the flood, in turn. Raises BenchFailedError."""
    with tempfile.TemporaryDirectory(prefix="flood-", dir=folder) as place:
        async with gateway(Path(place)) as port:
            say("finding the highest rate of one connection")
            highest = await flood(port, "flooder", math.inf, load.seconds)
            quiet, flooded, reached = [], [], []
            for number in range(load.runs):
                say(f"run {number + 1} of {load.runs} at {highest / 2:,.0f} messages per second")
                await asyncio.sleep(_SETTLE_S)
                quiet.append(await _p99_ms(port, load))
                flooding = asyncio.create_task(
                    flood(port, f"flooder-{number}", highest / 2, load.seconds + 2 * _SETTLE_S)
                )
                await asyncio.sleep(_SETTLE_S)
                flooded.append(await _p99_ms(port, load))
                reached.append(await flooding)
        return _figures(Path(place), load, highest, (quiet, flooded, reached))


def _figures(place: Path, load: FloodLoad, highest: float, found: tuple[list[float], ...]) -> dict[str, Any]:
    quiet, flooded, reached = (statistics.median(runs) for runs in found)
    totals = status(place / "edge")
    ratio = flooded / quiet
    return {
        "runs": load.runs,
        "neighbours": load.neighbours,
        "highest_rate": round(highest),
        "flood_rate": round(reached),
        "quiet_ack_p99_ms": round(quiet, 1),
        "flooded_ack_p99_ms": round(flooded, 1),
        "ratio": round(ratio, 2),
        "over_quota": totals.over_quota,
        "rejected": totals.totals.rejected,
        "unaccounted": totals.totals.unaccounted(),
        "passed": ratio <= MOST_RATIO or flooded <= MOST_MS,
    }


async def flood(port: int, device: str, rate: float, seconds: float) -> float:
    """Flood from a process of its own; how many messages per second were acknowledged."""
    argv = (sys.executable, "-m", "compose.bench.flooder", str(port), device, str(rate), str(seconds))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    answer, _ = await process.communicate()
    if process.returncode:
        raise BenchFailedError("the flooder failed")
    return float(answer)


async def _p99_ms(port: int, load: FloodLoad) -> float:
    devices = [Neighbour(f"n{number}") for number in range(load.neighbours)]
    step = 1 / load.rate / load.neighbours
    async with asyncio.timeout(10 * load.seconds + _START_S):
        await asyncio.gather(
            *(device.run(port, load.rate, load.seconds, at * step) for at, device in enumerate(devices))
        )
    waits = sorted(wait for device in devices for wait in device.waits)
    return 1000 * waits[int(0.99 * len(waits))]


@asynccontextmanager
async def gateway(place: Path) -> AsyncIterator[int]:
    """The real process with its listener and the embedded log; the port of the listener. Raises BenchFailedError."""
    port = free_port()
    path = await written_config(place, port, quotas=QuotaConfig(burst_s=1.0))
    async with running_gateway(path, place / "output"):
        await _until_listening(port, place)
        yield port


async def _until_listening(port: int, place: Path) -> None:
    until = _CLOCK.monotonic() + _START_S
    while _CLOCK.monotonic() < until:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise BenchFailedError(f"the gateway does not listen; it said: {(place / 'output').read_text()[-2000:]}")
