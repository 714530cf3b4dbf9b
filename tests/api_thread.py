"""A running API in a thread of its own, for clients that know no event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.api_centre import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.api_centre import Centre

PATIENCE_S = 120.0


class Reachable(NamedTuple):
    """Where it answers, and each tenant's token."""

    url: str
    tokens: dict[str, str]


@contextmanager
def api_thread(build: Callable[[], Centre], fill: Callable[[Centre], Awaitable[None]]) -> Iterator[Reachable]:
    """A centre, built and filled in the thread, until the block ends."""
    up: Future[tuple[Reachable, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with running(build()) as centre:
            await fill(centre)
            end = asyncio.Event()
            tokens = {tenant: made.token for tenant, made in centre.tokens.items()}
            up.set_result((Reachable(centre.api.address, tokens), asyncio.get_running_loop(), end))
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if up.done():
                raise
            up.set_exception(error)

    thread = threading.Thread(target=run, name="api", daemon=True)
    thread.start()
    reachable, loop, end = up.result(PATIENCE_S)
    try:
        yield reachable
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the API does not end"
