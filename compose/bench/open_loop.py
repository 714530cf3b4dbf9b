"""Reads at an open loop: requests are sent when they are due, whatever the answers take; each is timed from when it was due."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
import psutil

from compose.bench.leaving import leave
from compose.bench.load import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

CONNECTIONS = 64
_LOOK_S = 0.05


async def ask_at_rate(
    port: int, token: str, path_of: Callable[[int], str], *, rate: float, seconds: float
) -> NDArray[np.float64]:
    """Ask for `path_of(0)`, `path_of(1)`, … at `rate` per second: how long each took from when it was due (s). Raises BenchFailedError."""
    loop = asyncio.get_running_loop()
    idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(Connection(port, token))
    begin, count = loop.time() + 0.1, round(rate * seconds)
    taken = np.zeros(count)

    async def ask(number: int, due: float) -> None:
        connection = await idle.get()
        await connection.get(path_of(number))
        taken[number] = loop.time() - due
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as asking:
        for number in range(count):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            asking.create_task(ask(number, due))
    while not idle.empty():
        idle.get_nowait().close()
    return taken


class Connection:
    """One request at a time over a connection that stays; one that the server has closed meanwhile is opened again."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f" HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> bytes:
        """The answer's body. Raises BenchFailedError unless it is 200, OSError."""
        try:
            return await self._ask(path)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            return await self._ask(path)

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _ask(self, path: str) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path}{self._head}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchFailedError(f"{path}: {head.splitlines()[0].decode()} {body[:200].decode()}")
        return body


async def until_answered(port: int, token: str, paths: Iterable[str], *, patience_s: float) -> None:
    """Wait until each path has been answered by 200, one after the other. Raises TimeoutError."""
    connection = Connection(port, token)
    async with asyncio.timeout(patience_s):
        for path in paths:
            while True:
                try:
                    await connection.get(path)
                except (OSError, BenchFailedError, asyncio.IncompleteReadError):
                    await asyncio.sleep(_LOOK_S)
                else:
                    break
    connection.close()


def _length(head: bytes) -> int:
    found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


@asynccontextmanager
async def api_process(place: Path, config: str) -> AsyncIterator[int]:
    """`tidegate api run` with this configuration (TOML), its files in `place`: its process id. Raises BenchFailedError."""
    (place / "api.toml").write_text(config)
    argv = [sys.executable, "-m", "compose.cli", "api", "run", str(place / "api.toml")]
    with (place / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output, env=dict(os.environ))
    try:
        yield process.pid
    except (TimeoutError, BenchFailedError) as error:
        raise BenchFailedError(
            f"{error or 'no answer in time'}; the API said:\n{(place / 'output').read_text()[-2000:]}"
        ) from error
    finally:
        await leave(process)


def cpu_s(process: int) -> float:
    """What a process has used so far (s)."""
    spent = psutil.Process(process).cpu_times()
    return float(spent.user + spent.system)
