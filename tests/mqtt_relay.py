"""A relay in front of a broker: it can speak TLS, pretend to know only MQTT 3.1.1, and cut its connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tests.tcp_server import serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

_LEVEL_AT = 8  # of a CONNECT shorter than 128 bytes
_REFUSED_VERSION = b"\x20\x02\x00\x01"


class Relay:
    """Where it listens, which protocol levels asked for it, and the way to cut it."""

    def __init__(self, host: str, port: int, *, only_311: bool) -> None:
        self.port = 0
        self.levels: list[int] = []
        self._host, self._port, self._only_311 = host, port, only_311
        self._writers: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(_LEVEL_AT + 1)
        self.levels.append(first[_LEVEL_AT])
        if self._only_311 and first[_LEVEL_AT] != 4:
            writer.write(_REFUSED_VERSION)
            return
        upstream, upward = await asyncio.open_connection(self._host, self._port)
        upward.write(first)
        self._writers |= {writer, upward}
        await asyncio.gather(_pump(reader, upward), _pump(upstream, writer))
        self._writers -= {writer, upward}
        with suppress(OSError):
            await upward.wait_closed()

    def cut(self) -> None:
        """Resets every connection, as a broken link would."""
        for writer in tuple(self._writers):
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(
    host: str, port: int, *, only_311: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Relay]:
    """Relays from a free port to `host:port`."""
    between = Relay(host, port, only_311=only_311)
    async with serving(between.handle, tls) as between.port:
        try:
            yield between
        finally:
            between.cut()
