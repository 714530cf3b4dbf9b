"""The life of a process: start its services, drain them on SIGTERM or SIGINT, stop within the time that is left."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAIN_S = 7.5
"""How long services may drain: with what is closed after them (log, store, spans) a stop takes at most ten seconds."""


class Service(Protocol):
    """A part of a process that runs until it is drained."""

    @property
    def name(self) -> str:
        """What it is called in errors."""
        ...

    async def run(self) -> None:
        """Return after `drain`; raise only what cannot be waited out."""
        ...

    def drain(self) -> None:
        """Take no more, finish what was taken, return from `run`."""
        ...


class ServiceFailedError(RuntimeError):
    """A service ended by itself: the process must end too, so that its supervisor starts it anew."""


async def run_until(services: Sequence[Service], stop: asyncio.Event) -> None:
    """Run all services until `stop`, then drain them; a failure of one drains the others and is raised."""
    tasks = {asyncio.create_task(service.run(), name=service.name): service for service in services}
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task.done()]
        for service in services:
            service.drain()
        ended, late = await asyncio.wait(tasks, timeout=DRAIN_S)
        await _cancel(late)
        # One that could not save while it was drained has failed as well.
        _raise_first(failed + [task for task in ended if task.exception() is not None])
    finally:
        await _cancel({stopping, *(task for task in tasks if not task.done())})


async def run_process(services: Sequence[Service]) -> None:
    """Run until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await run_until(services, stop)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_first(failed: list[asyncio.Task[None]]) -> None:
    for task in failed:
        error = task.exception()
        raise ServiceFailedError(f"{task.get_name()} ended by itself: {error or 'no error'}") from error
