"""How a process that was measured ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_LEAVE_S = 15.0


async def leave(process: Process) -> None:
    """Ask it to end, unless it has; kill it when it does not."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_LEAVE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
