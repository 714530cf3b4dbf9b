"""A receiver of HTTP requests for tests: a real server on loopback that answers well, badly, late or never."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ingest.runtime.stop_listening import stop_listening
from tests.tcp_server import hang_up

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 90.0


class Request(NamedTuple):
    """One request as it arrived; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """What is answered. `how`: whole, hang (no answer), hang_up, drip (a header that never ends), endless (a body that
    never ends), half (a head without its body)."""

    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    body: bytes = b""
    how: str = "whole"


class Receiver:
    """Listens while it is entered; `answers` are given in turn, then `otherwise` decides."""

    def __init__(self, otherwise: Callable[[Request], Answer] | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()
        self.otherwise = otherwise or (lambda _: Answer())
        self.sent_bytes = 0
        self._port = 0
        self._arrived = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and end those that there are."""
        await stop_listening(self._server)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait for requests until that is so."""
        async with asyncio.timeout(DEADLINE_S):
            while not enough():
                self._arrived.clear()
                await self._arrived.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            await hang_up(writer)
            self._connections.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _read(reader)
        answer = self.answers.popleft() if self.answers else self.otherwise(request)
        self.requests.append(request)
        self._arrived.set()
        return await self._answer(answer, writer)

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        if answer.how == "hang":
            await asyncio.Event().wait()
        if answer.how == "hang_up":
            return False
        if answer.how == "drip":
            await self._without_end(writer, b"HTTP/1.1 200 OK\r\nX-Never: ", b"x", 0.02)
        length = {"endless": 1 << 40, "half": 10}.get(answer.how, len(answer.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        writer.write(f"HTTP/1.1 {answer.status} -\r\nContent-Length: {length}\r\n{head}\r\n".encode() + answer.body)
        await writer.drain()
        if answer.how == "endless":
            await self._without_end(writer, b"", bytes(65_536), 0)
        if answer.how == "half":
            await asyncio.Event().wait()
        return True

    async def _without_end(self, writer: asyncio.StreamWriter, first: bytes, then: bytes, pause_s: float) -> None:
        writer.write(first)
        while True:
            writer.write(then)
            self.sent_bytes += len(then)
            await writer.drain()
            await asyncio.sleep(pause_s)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    method, path, _ = head[0].split(" ", 2)
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
