"""One POST to a receiver, and what its answer means."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ssl
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import httpx

from analytics.alerts.guard import guarded_transport
from analytics.alerts.notifier import PermanentlyRefusedError, TemporarilyRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.alerts.network import Network
    from ingest.runtime.clock import Clock

READ_BYTES = 4096
"""So much of an answer's body is read at the most."""

READ_S = 1.0
RETRY_AFTER_MOST_S = 3600.0
_SAID = 200
_AGAIN = frozenset({408, 425, 429})


class Trust(NamedTuple):
    """Whom to trust in TLS (a file of authorities in PEM, the system's where empty), and through which proxy to go."""

    ca_file: str = ""
    proxy: str = ""


class Post:
    """POSTs to receivers, with connections that are kept.

    No redirect is followed (a receiver must not send us elsewhere), no proxy is read from the environment, no address is
    contacted that `network` does not allow, no answer is decompressed or read for longer than it takes to know what it means.
    """

    def __init__(self, timeout_s: float, clock: Clock, network: Network, trust: Trust = Trust()) -> None:  # noqa: B008 - frozen
        self._timeout_s, self._clock = timeout_s, clock
        headers = {"User-Agent": "tidegate", "Accept-Encoding": "identity"}
        self._http = httpx.AsyncClient(
            transport=guarded_transport(_trusted(trust.ca_file), network, trust.proxy),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers=headers,
        )

    async def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], auth: tuple[str, str] | None = None
    ) -> None:
        """Send and judge the answer by its status alone, whatever its body.

        Raises TemporarilyRefusedError (network, time-out, 408, 425, 429, 5xx), PermanentlyRefusedError (all else but 2xx).
        """
        request = self._http.build_request("POST", url, content=body, headers=dict(headers))
        try:
            # httpx limits each read; this limits them all: a receiver that sends a byte now and then holds up nobody.
            async with asyncio.timeout(self._timeout_s):
                answer = await self._http.send(request, auth=auth, stream=True)
        except (httpx.HTTPError, TimeoutError) as error:
            raise TemporarilyRefusedError(f"{type(error).__name__}: {error}".strip(": ")) from error
        try:
            said = await _beginning(answer)
        finally:
            await answer.aclose()
            self._http.cookies.clear()
        self._judge(answer, said)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _judge(self, answer: httpx.Response, said: str) -> None:
        reason = f"answered {answer.status_code}" + (f": {said}" if said else "")
        if answer.is_success:
            return
        if answer.status_code in _AGAIN or answer.is_server_error:
            raise TemporarilyRefusedError(reason, self._retry_after_s(answer.headers.get("Retry-After", "")))
        raise PermanentlyRefusedError(reason)

    def _retry_after_s(self, text: str) -> float:
        # Seconds or a date (RFC 9110, section 10.2.3).
        try:
            until = email.utils.parsedate_to_datetime(text).timestamp() if not text.isdecimal() else None
            wait_s = float(text) if until is None else until - self._clock.now_ms() / 1000
        except (ValueError, OverflowError):
            return 0.0
        return min(max(0.0, wait_s), RETRY_AFTER_MOST_S)


@cache
def _trusted(ca_file: str) -> ssl.SSLContext:
    # Reading the authorities takes a while: once is enough for all receivers.
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context(trust_env=False)


async def _beginning(answer: httpx.Response) -> str:
    # The status is known: whatever happens to the body does not change what it means.
    read = b""
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(READ_S):
            async for chunk in answer.aiter_raw():
                read += chunk[:READ_BYTES]
                if len(read) >= READ_BYTES:
                    break
    return " ".join(read.decode("utf-8", "replace").split())[:_SAID]
