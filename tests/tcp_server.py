"""A TCP server for one test whose every connection has come to its end when the test has."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ingest.runtime.stop_listening import stop_listening

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_GRACE_S = 2.0
"""How long a connection may take to end by itself, once the test has."""


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yields a free port on loopback; each connection is `handler`'s, and is closed after it."""
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            await hang_up(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_listening(server)
        await end_all(connections)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until its socket is."""
    writer.close()
    try:
        with suppress(OSError):
            async with asyncio.timeout(_GRACE_S):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


async def end_all(connections: set[asyncio.Task[None]]) -> None:
    """Wait until connections are over; those that do not end are made to."""
    if connections:
        _, open_still = await asyncio.wait(connections, timeout=_GRACE_S)
        for connection in open_still:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
