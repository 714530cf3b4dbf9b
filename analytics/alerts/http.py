"""One POST to a receiver, and what its answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_BYTES = 4096
_AGAIN = frozenset({408, 425, 429})


def client(timeout_s: float) -> httpx.AsyncClient:
    """A client that follows no redirect (a receiver must not send us elsewhere) and reads no proxy from the environment."""
    return httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False)


async def post(
    http: httpx.AsyncClient,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    auth: tuple[str, str] | None = None,
) -> None:
    """Send and judge the answer by its status alone, whatever the length of its body.

    Raises TemporarilyRefusedError (network, time-out, 408, 425, 429, 5xx), PermanentlyRefusedError (all else but 2xx).
    """
    try:
        async with http.stream("POST", url, content=body, headers=dict(headers), auth=auth) as answer:
            status, said = answer.status_code, await _beginning(answer)
            retry_after = answer.headers.get("Retry-After", "")
    except httpx.HTTPError as error:
        raise TemporarilyRefusedError(f"{type(error).__name__}: {error}") from error
    if httpx.codes.is_success(status):
        return
    if status in _AGAIN or httpx.codes.is_server_error(status):
        raise TemporarilyRefusedError(f"{status}: {said}", float(retry_after) if retry_after.isdigit() else 0.0)
    raise PermanentlyRefusedError(f"{status}: {said}")


async def _beginning(answer: httpx.Response) -> str:
    async for chunk in answer.aiter_bytes(READ_BYTES):
        return chunk[:200].decode("utf-8", "replace")
    return ""
