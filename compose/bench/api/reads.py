"""API reads as people and their tools ask them, at an open loop, against an API that knows a large fleet and hears of changes."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from compose.bench.api.world import Size, World
from compose.bench.gate.queries import TENANT
from compose.bench.open_loop import api_process, ask_at_rate, cpu_s, until_answered
from compose.stack.ports import free_port
from dashboards.api.auth import NewToken, new_token
from ingest.contract.events import DeviceState
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_READY_S = 600.0
_CHUNK = 2000
_CLOCK = SystemClock()


class ReadLoad(NamedTuple):
    """`runs` times `seconds` at `rate` requests per second, while `changes` devices per second change their state."""

    size: Size = Size()
    rate: float = 200.0
    seconds: float = 15.0
    runs: int = 5
    changes: float = 20.0


class ReadFigures(NamedTuple):
    """The median over the runs of the median and the 99th percentile (ms), and what a read costs the API (ms of CPU)."""

    api_p99_ms: float
    api_p50_ms: float
    api_cpu_ms: float


async def measure(load: ReadLoad, folder: Path) -> ReadFigures:
    """Against a process of its own. Raises BenchFailedError, TimeoutError, OSError."""
    with tempfile.TemporaryDirectory(prefix="api-", dir=folder) as name:
        place, token, world = Path(name), new_token(), World(load.size)
        await write_world(place, world)
        port = free_port()
        async with api_process(place, api_config(place, token, port, world)) as process:
            await until_known(port, token.token, load.size)
            before = cpu_s(process)
            async with changing_fleet(place, world, load.changes):
                found = [await _run(port, token.token, load, world) for _ in range(load.runs)]
            spent = cpu_s(process) - before
    asked = load.runs * round(load.rate * load.seconds)
    p50, p99 = np.median(np.array(found), axis=0)
    return ReadFigures(round(float(p99), 3), round(float(p50), 3), round(1000 * spent / asked, 3))


async def _run(port: int, token: str, load: ReadLoad, world: World) -> tuple[float, float]:
    taken = await ask_at_rate(port, token, lambda number: path_of(number, world), rate=load.rate, seconds=load.seconds)
    return float(np.percentile(taken, 50)) * 1000, float(np.percentile(taken, 99)) * 1000


def path_of(number: int, world: World) -> str:
    """The mix: of 20 reads six are of a device, five of a page of devices, the rest of everything else."""
    size = world.size
    site, device = world.place(number * 7919 % size.devices)
    pages = (
        "/v1/devices?limit=50",
        f"/v1/devices?limit=50&site={site}",
        "/v1/devices?limit=50&state=silent",
        f"/v1/devices?limit=50&firmware=2.3.0&site={site}",
        f"/v1/devices?limit=50&q={device}",
    )
    others = (
        *("/v1/fleet", "/v1/fleet", "/v1/sites", "/v1/alerts?limit=100", "/v1/alerts?state=firing&limit=100"),
        *("/v1/incidents?limit=50", f"/v1/incidents/inc-{number % size.incidents}", "/v1/rollouts?limit=50"),
        f"/v1/gates/fw-{number % size.rollouts}",
    )
    turn = number % 20
    if turn < len(pages):
        return pages[turn]
    return others[turn - len(pages)] if turn < len(pages) + len(others) else f"/v1/devices/{site}/{device}"


@asynccontextmanager
async def changing_fleet(place: Path, world: World, rate: float) -> AsyncIterator[None]:
    """Devices change `rate` times a second."""

    # A fleet in which nothing happens would be answered from memory for ever.
    async def change() -> None:
        number = 0
        while True:
            await asyncio.sleep(1 / rate)
            number += 1
            state = DeviceState.ONLINE if number % 2 else DeviceState.SILENT
            await log.append([world.device(number * 7919 % world.size.devices, _CLOCK.now_ms(), state)])

    log = SqliteLog(place / "log.db", _CLOCK)
    changing = asyncio.create_task(change())
    try:
        yield
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        await log.close()


async def until_known(port: int, token: str, size: Size) -> None:
    """Wait until the API has read everything. Raises TimeoutError."""
    paths = (f"/v1/gates/fw-{size.rollouts - 1}", "/readyz")
    await until_answered(port, token, paths, patience_s=_READY_S)


def api_config(place: Path, token: NewToken, port: int, world: World) -> str:
    """An API over the log in `place` (TOML)."""
    return (
        f'[api]\nport = {port}\n[[api.tokens]]\nname = "bench"\ntenant = "{TENANT}"\nsha256 = "{token.sha256}"\n'
        f'scopes = ["read", "gates"]\n[log]\nkind = "sqlite"\npath = "{place}/log.db"\n[store]\nkind = "sqlite"\n'
        f'path = "{place}/store.db"\n{world.gateways()}'
    )


async def write_world(place: Path, world: World) -> None:
    """All that is known, into the log in `place`."""
    log = SqliteLog(place / "log.db", _CLOCK)
    await log.ensure_topics(every_topic())
    records = world.records(_CLOCK.now_ms())
    while chunk := list(islice(records, _CHUNK)):
        await log.append(chunk)
    await log.close()
