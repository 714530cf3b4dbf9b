"""Waiting for an acknowledgement, but not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock


async def positive_within(answer: asyncio.Future[bool], clock: Clock, seconds: float) -> bool:
    """Whether `answer` came within `seconds`, and was yes."""
    deadline = asyncio.create_task(clock.sleep(seconds))
    either: set[asyncio.Future[Any]] = {answer, deadline}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        deadline.cancel()
    return answer.done() and not answer.cancelled() and answer.result()
