"""The gateway's local socket: for its own user only, in its data folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

import msgspec

from edge_aggregator.live.protocol import FILE_NAME, Question, socket_address
from edge_aggregator.live.taps import Mailbox, Tap, Tapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from edge_aggregator.core import Core
    from edge_aggregator.live.protocol import LiveStatus

CONNECTIONS = 16
QUESTION_BYTES = 64 * 1024
QUESTION_S = 5.0
SLICE = 500
"""Lines made at a time, before others get their turn."""

_LOG = logging.getLogger(__name__)


class LiveServer:
    """Answers `status` with what `status()` says, and `tap` with samples as they are acknowledged."""

    def __init__(self, folder: Path, core: Core, status: Callable[[], Awaitable[LiveStatus]]) -> None:
        self._folder, self._core, self._status = folder, core, status
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. A folder that takes no socket is no reason to do without a gateway."""
        try:
            server = await asyncio.start_unix_server(self._connection, sock=self._listen(), limit=QUESTION_BYTES)
        except OSError as error:
            _LOG.warning("no local socket in %s, `tidegate tap` will not work: %s", self._folder, error)
            await asyncio.Event().wait()
            return
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            await self._end()
            with contextlib.suppress(OSError):
                (self._folder / FILE_NAME).unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        (self._folder / FILE_NAME).unlink(missing_ok=True)  # the folder is ours alone: nobody else listens there
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            with socket_address(self._folder) as address:
                listener.bind(address)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        listener.setblocking(False)
        return listener

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS:
            writer.close()
            return
        answering = asyncio.create_task(self._answer(reader, writer))
        self._open.add(answering)
        try:
            await asyncio.wait({answering})
        finally:
            self._open.discard(answering)
            writer.close()

    async def _end(self) -> None:
        for answering in self._open:
            answering.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(QUESTION_S):
                question = msgspec.json.decode(await reader.readline(), type=Question)
            if question.ask == "tap":
                await self._tap(question, reader, writer)
                return
            writer.write(msgspec.json.encode(await self._status()) + b"\n")
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            return  # who does not ask properly, or is gone, gets no answer

    async def _tap(self, question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        tap = Tap(self._core.names, question.device, question.metrics, mailbox.post)
        if not self._core.taps.add(tap):
            writer.write(b'{"error":"as many taps as there may be are open"}\n')
            await writer.drain()
            return
        await self._pour(tap, mailbox, reader, writer)

    async def _pour(
        self, tap: Tap, mailbox: Mailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pouring = asyncio.create_task(_write(tap, mailbox, writer))
        leaving = asyncio.create_task(reader.read())
        try:
            await asyncio.wait({pouring, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._core.taps.remove(tap)
            pouring.cancel()
            leaving.cancel()
            await asyncio.gather(pouring, leaving, return_exceptions=True)


async def _write(tap: Tap, mailbox: Mailbox, writer: asyncio.StreamWriter) -> None:
    while True:
        letter = await mailbox.take()
        if letter.missed:
            writer.write(b'{"missed":%d}\n' % letter.missed)
        for start in range(0, len(letter.ts), SLICE):
            rows = slice(start, start + SLICE)
            writer.write(b"".join(_lines(tap, letter, rows)))
            await writer.drain()
            tap.written += len(letter.ts[rows])


def _lines(tap: Tap, letter: Tapped, rows: slice) -> Iterator[bytes]:
    for name, ts, value in zip(letter.names[rows], letter.ts[rows], letter.value[rows], strict=True):
        row = {
            "ts": ts,
            "device": tap.device_of(name),
            "metric": name.metric,
            "labels": dict(name.labels),
            "value": value,
        }
        yield msgspec.json.encode(row) + b"\n"
