"""A webhook's receiver that notes when it was told of which device."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Self

from ingest.runtime.stop_listening import stop_listening

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Pager:
    """Listens on loopback while it is entered. `told`: when each device's firing of a rule came first (monotonic seconds)."""

    def __init__(self, rule: str, clock: Clock) -> None:
        self._rule, self._clock = rule, clock
        self._connections: set[asyncio.Task[None]] = set()
        self.told: dict[str, float] = {}
        self.requests = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_listening(self._server)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self._take(json.loads(body))
                writer.write(_OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    def _take(self, notification: dict[str, Any]) -> None:
        now = self._clock.monotonic()
        self.requests += 1
        for alert in notification["alerts"]:
            labels = alert["labels"]
            if alert["status"] == "firing" and labels["alertname"] == self._rule:
                self.told.setdefault(labels["device"], now)
