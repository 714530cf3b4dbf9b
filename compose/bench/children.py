"""The processes of a run: the feeder and the measured one, each on the cores that are its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from compose.bench.feed import FeedPlan
from compose.bench.leaving import leave
from compose.bench.load import BenchFailedError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator

    from compose.bench.contestants import Contestant, Place
    from compose.bench.load import Load, Stand

_READY_S = 60.0
_LINE_BYTES = 1024 * 1024


@asynccontextmanager
async def feeding(load: Load, stand: Stand, site: str) -> AsyncIterator[Process]:
    """A feeder for the length of a block; it waits for `begin`."""
    mqtt = stand.endpoints.mqtt
    plan = FeedPlan(
        role="publisher" if load.through_broker else "broker",
        site=site,
        devices=load.devices,
        frames=load.frames,
        rate=load.rate,
        seconds=load.seconds,
        in_flight=min(load.in_flight, 1_000) if load.through_broker else load.in_flight,
        introductions=load.introductions,
        only_311=load.only_311,
        host=mqtt.host,
        port=mqtt.port if load.through_broker else 0,
        username=mqtt.device_username if load.through_broker else "",
        password=mqtt.device_password if load.through_broker else "",
    )
    argv = [sys.executable, "-m", "compose.bench.feeder", msgspec.json.encode(plan).decode()]
    pipe = asyncio.subprocess.PIPE
    with _elsewhere(load.core):
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=_LINE_BYTES)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def running(contestant: Contestant, place: Place, load: Load, stand: Stand) -> AsyncIterator[psutil.Process]:
    """The measured process for the length of a block; what it said is part of what is raised."""
    argv = contestant.prepare(place)
    with (place.folder / "output").open("wb") as output, _only(load.core):
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output)
    if load.core is not None and stand.kafka_pid:
        _pin(stand.kafka_pid, _others(load.core))
    try:
        yield psutil.Process(process.pid)
    except (TimeoutError, BenchFailedError) as error:
        told = (place.folder / "output").read_text(errors="replace")[-2000:]
        raise BenchFailedError(f"{contestant.name}: {error or 'no answer in time'}; it said:\n{told}") from error
    finally:
        await leave(process)


async def line_of(feeder: Process, patience_s: float = _READY_S) -> dict[str, Any]:
    """The feeder's next line. Raises BenchFailedError when it has ended, TimeoutError."""
    assert feeder.stdout is not None
    async with asyncio.timeout(patience_s):
        line = await feeder.stdout.readline()
    if not line:
        raise BenchFailedError("the feeder has ended")
    found: dict[str, Any] = json.loads(line)
    return found


async def begin(feeder: Process, patience_s: float) -> dict[str, Any]:
    """Let it feed; its report."""
    assert feeder.stdin is not None
    feeder.stdin.write(b"go\n")
    return await line_of(feeder, patience_s)


def _others(core: int) -> set[int]:
    return (os.sched_getaffinity(0) - {core}) or {core}


@contextlib.contextmanager
def _affinity(cores: set[int] | None) -> Iterator[None]:
    # Children inherit it; so they need no code of ours between fork and exec.
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _only(core: int | None) -> contextlib.AbstractContextManager[None]:
    return _affinity(None if core is None else {core})


def _elsewhere(core: int | None) -> contextlib.AbstractContextManager[None]:
    return _affinity(None if core is None else _others(core))


def _pin(pid: int, cores: set[int]) -> None:
    for thread in psutil.Process(pid).threads():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, cores)
