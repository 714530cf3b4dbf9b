"""Waiting, unless it is time to end."""

from __future__ import annotations

import asyncio


async def drained_within(draining: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until `draining` is set; whether it is."""
    try:
        await asyncio.wait_for(draining.wait(), seconds)
    except TimeoutError:
        return False
    return True
