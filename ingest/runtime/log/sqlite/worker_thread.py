"""The one thread in which the embedded log touches its file, so that no disk ever holds up the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import apsw

from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite.file import DISTRUSTED, UNAVAILABLE, open_file, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class WorkerThread:
    """Runs functions of a connection, one after the other; opens the file when it is first needed, again after errors.

    There are two connections: what is appended is on disk when it returns; what groups say of themselves follows
    with the next append, because losing it in a power cut only means reading some records again.
    """

    def __init__(self, path: Path, patience_s: float) -> None:
        self._path, self._patience_s = path, patience_s
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"log {path.name}")
        self._connections: dict[bool, apsw.Connection] = {}
        self._closed = False

    async def run(self, function: Callable[[apsw.Connection], T], *, durable: bool = False) -> T:
        """The function's result. Raises LogUnavailableError, and what the function itself raises."""
        if self._closed:
            raise LogUnavailableError(f"{self._path}: the log was closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, function, durable)

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._executor, self._disconnect)
            self._executor.shutdown(wait=False)

    def _call(self, function: Callable[[apsw.Connection], T], durable: bool) -> T:  # noqa: FBT001 - run_in_executor takes no keywords
        try:
            return function(self._connection(durable=durable))
        except LogUnavailableError:
            raise
        except UNAVAILABLE as error:
            if isinstance(error, DISTRUSTED):
                self._disconnect()
            raise unavailable(self._path, error) from error

    def _connection(self, *, durable: bool) -> apsw.Connection:
        if durable not in self._connections:
            self._connections[durable] = open_file(self._path, patience_s=self._patience_s, durable=durable)
        return self._connections[durable]

    def _disconnect(self) -> None:
        while self._connections:
            with contextlib.suppress(apsw.Error):
                self._connections.popitem()[1].close()
