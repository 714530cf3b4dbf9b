"""Services run until they are told to stop; one that ends by itself takes the process down, drained."""

from __future__ import annotations

import asyncio

import pytest

from ingest.runtime.service import ServiceFailedError, run_until


class Steady:
    name = "steady"

    def __init__(self) -> None:
        self.stop, self.drained = asyncio.Event(), False

    async def run(self) -> None:
        await self.stop.wait()
        self.drained = True

    def drain(self) -> None:
        self.stop.set()


class Failing(Steady):
    name = "failing"

    async def run(self) -> None:
        raise OSError("the disk is gone")


async def test_a_stop_drains_all() -> None:
    services, stop = [Steady(), Steady()], asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    await run_until(services, stop)
    assert all(service.drained for service in services)


async def test_a_failure_drains_the_others_and_is_raised_with_its_name() -> None:
    steady = Steady()
    with pytest.raises(ServiceFailedError, match="failing ended by itself: the disk is gone"):
        await run_until([steady, Failing()], asyncio.Event())
    assert steady.drained


class Unsaved(Steady):
    name = "unsaved"

    async def run(self) -> None:
        await self.stop.wait()
        raise OSError("the state cannot be saved")


async def test_a_failure_while_draining_is_raised_too() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    with pytest.raises(ServiceFailedError, match="unsaved ended by itself: the state cannot be saved"):
        await run_until([Steady(), Unsaved()], stop)
