"""Asking a starting server something over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from compose.stack.errors import NotReady

TIMEOUT_S = 5.0


def answered(url: str, auth: tuple[str, str] | None = None) -> httpx.Response:
    """The answer to a GET if its status is 200; raises NotReady otherwise. Proxies of the environment are not asked."""
    try:
        answer = httpx.get(url, auth=auth, timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as error:
        raise NotReady(f"{url}: {error or type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK:
        raise NotReady(f"{url}: answered {answer.status_code}, expected 200")
    return answer


def answered_json(url: str, auth: tuple[str, str] | None = None) -> dict[str, Any]:
    """The JSON object in the answer; raises NotReady when there is none."""
    try:
        found = answered(url, auth).json()
    except ValueError as error:
        raise NotReady(f"{url}: answered something other than JSON") from error
    if not isinstance(found, dict):
        raise NotReady(f"{url}: answered JSON that is no object")
    return found
