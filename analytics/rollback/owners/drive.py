"""Takes a way back: sends its requests one by one, for good or as a dry run that only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from analytics.rollback.owners.owner import Answer, PassingError, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    import httpx

    Send = Callable[[Request], Awaitable[Answer]]


async def drive(way: Generator[Request, Answer, None], send: Send) -> None:
    """To the end of the way. Raises what the way and `send` raise."""
    try:
        request = next(way)
        while True:
            request = way.send(await send(request))
    except StopIteration:
        return


def dry(send: Send, changes: list[Request]) -> Send:
    """A `send` that only looks: what would change something is put into `changes` and taken as done."""

    async def look(request: Request) -> Answer:
        if not request.changes:
            return await send(request)
        changes.append(request)
        return Answer(status=request.expects[0], body={"id": 0, "status": "ready"})

    return look


def over_http(client: httpx.AsyncClient, base_url: str, headers: Callable[[Request, bytes], dict[str, str]]) -> Send:
    """A `send` over HTTP; `headers` makes the credentials for a request and its body. Raises httpx.HTTPError, PassingError."""

    async def send(request: Request) -> Answer:
        body = encoded(request)
        sent = headers(request, body) | ({"Content-Type": request.content_type} if body else {})
        answer = await client.request(request.method, base_url.rstrip("/") + request.path, content=body, headers=sent)
        return Answer(status=answer.status_code, body=_json(answer.content, answer.status_code))

    return send


def encoded(request: Request) -> bytes:
    """The body's bytes."""
    return b"" if request.body is None else msgspec.json.encode(request.body)


def _json(content: bytes, status: int) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if status < 300:  # noqa: PLR2004 - a success that is not JSON comes from something else in between
            raise PassingError(f"answered {status} without JSON") from None
        return {"message": content[:300].decode("utf-8", "replace")}
