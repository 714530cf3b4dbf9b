"""Stopping a server without losing the connection that is just being accepted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

_ROUNDS = 3
"""Of the event loop, from a connection's acceptance until its protocol knows of it."""


async def stop_listening(server: asyncio.Server) -> None:
    """Accept no more, let those that are accepted reach their protocol, then close.

    Python 3.11's `Server.close` alone leaves a socket that was accepted in the same round of the event loop open for good:
    its transport finds the server gone (`_attach` asserts) and nobody closes it.
    """
    loop = asyncio.get_running_loop()
    sockets: tuple[socket, ...] = server.sockets
    for listener in sockets:
        loop.remove_reader(listener.fileno())
    try:
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
    finally:
        server.close()
