"""The client's many errors as the port's few, and closing that always ends."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.errors import ConsumerStoppedError, KafkaError

from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

PATIENCE_S = 6.0
"""How long a request may take before the brokers count as away."""

CLOSING_S = 4.0
"""How long closing waits for brokers that may not answer."""

# The client asserts, or trips over None, in states that only the brokers' absence brings about.
FAILURES = (KafkaError, OSError, TimeoutError, ConsumerStoppedError, AssertionError, AttributeError)

_closing: set[asyncio.Task[None]] = set()


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Any failure of the client becomes LogUnavailableError; what the port itself raises passes."""
    try:
        yield
    except LogUnavailableError:
        raise
    except FAILURES as error:
        raise LogUnavailableError(f"kafka: {what}: {str(error) or 'no answer in time'}") from error


async def finish(*steps: Coroutine[Any, Any, object]) -> None:
    """Run the steps of closing a client one after the other; after CLOSING_S they go on unwatched.

    What they raise does not matter any more. Some raise CancelledError of tasks that they cancelled themselves, which
    must not reach the caller: hence the task of its own.
    """
    task = asyncio.ensure_future(_run_all(steps))
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    await asyncio.wait({task}, timeout=CLOSING_S)


async def _run_all(steps: tuple[Coroutine[Any, Any, object], ...]) -> None:
    left = deque(steps)
    try:
        while left:
            await asyncio.wait({asyncio.ensure_future(_outcome_ignored(left.popleft()))})
    finally:
        for step in left:  # the process ended first
            step.close()


async def _outcome_ignored(step: Coroutine[Any, Any, object]) -> None:
    try:
        await step
    except Exception as error:  # noqa: BLE001 - a client that is being closed has nobody left to tell
        del error
