"""How an answer travels: with an entity tag, not again when the asker has it, compressed where that is taken (RFC 9110)."""

from __future__ import annotations

import gzip
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from litestar.enums import ScopeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar.types import ASGIApp, HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

WORTH_IT = 500
"""Shorter answers are sent as they are (bytes)."""
LEVEL = 4
KEPT_BYTES = 8 * 1024 * 1024
_SUFFIX = "-gzip"
_OWN = frozenset({b"etag", b"content-encoding"})
Headers = list[tuple[bytes, bytes]]


class Compressed:
    """Answers that were compressed lately, by their tags: what many ask for is compressed once. At most `KEPT_BYTES`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def of(self, tag: str, body: bytes) -> bytes:
        """The body compressed."""
        found = self._kept.get(tag)
        if found is None:
            found = self._kept[tag] = gzip.compress(body, LEVEL, mtime=0)
            self._bytes += len(found)
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        if tag in self._kept:
            self._kept.move_to_end(tag)
        return found


def tag_of(body: bytes) -> str:
    """What tells one state of a resource from another, without the quotes."""
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def names(header: str, tag: str) -> bool:
    """Whether an `If-Match` or `If-None-Match` names the tag, of whichever encoding, or is `*`."""
    listed = [part.strip().removeprefix("W/").strip('"').removesuffix(_SUFFIX) for part in header.split(",")]
    return header.strip() == "*" or tag in listed


class Representation:
    """Middleware. What comes in pieces (the event stream) and what has a tag of its own (the page's files) passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._compressed = app, _COMPRESSED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        held: list[HTTPResponseStartEvent] = []

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and not _OWN & {name.lower() for name, _ in message["headers"]}:
                held.append(message)
                return
            if held and message["type"] == "http.response.body":
                start = held.pop()
                if not message.get("more_body"):
                    await self._whole(asked, scope, start, message["body"], send)
                    return
                await send(start)
            await send(message)

        await self._app(scope, receive, sent)

    async def _whole(
        self, asked: dict[bytes, bytes], scope: HTTPScope, start: HTTPResponseStartEvent, body: bytes, send: Send
    ) -> None:
        headers: Headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        status, tag = start["status"], ""
        if status == 200 and scope["method"] == "GET" and scope["path"].startswith("/v1/"):  # noqa: PLR2004
            tag = tag_of(body)
            headers.append((b"cache-control", b"private, no-cache"))
        if tag and names(asked.get(b"if-none-match", b"").decode("latin-1"), tag):
            headers = [(name, value) for name, value in headers if name.lower() != b"content-type"]
            await _send(send, start, 304, [*headers, (b"etag", f'"{tag}"'.encode())], b"")
            return
        if len(body) >= WORTH_IT and not scope["path"].startswith("/v1/gates/"):
            headers.append((b"vary", b"Accept-Encoding"))
            if takes_gzip(asked.get(b"accept-encoding", b"")):
                body = self._compressed.of(tag, body) if tag else gzip.compress(body, LEVEL, mtime=0)
                headers.append((b"content-encoding", b"gzip"))
                tag = tag and tag + _SUFFIX
        if tag:
            headers.append((b"etag", f'"{tag}"'.encode()))
        await _send(send, start, status, [*headers, (b"content-length", str(len(body)).encode())], body)


_COMPRESSED = Compressed()


async def _send(
    send: Send, start: HTTPResponseStartEvent, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> None:
    start["status"], start["headers"] = status, list(headers)
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def takes_gzip(header: bytes) -> bool:
    """Whether an `Accept-Encoding` takes gzip."""
    for part in header.decode("latin-1").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
