"""Contacts allowed addresses only: looked at after the name was resolved, so that no name can lead somewhere else."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpcore
import httpx

from analytics.alerts.network import ForbiddenAddressError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from analytics.alerts.network import Network


class Guard(httpcore.AsyncNetworkBackend):
    """Connects to allowed addresses only."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, network: Network) -> None:
        self._inner, self._network = inner, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first allowed address that answers. Raises httpcore.ConnectError."""
        allowed = await self._addresses(host, port)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in allowed:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore.AsyncNetworkStream:
        """No receiver is there."""
        raise httpcore.ConnectError(f"{path}: receivers have addresses ({timeout})")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return self._network.allowed(host, found)
        except ForbiddenAddressError as error:
            raise httpcore.ConnectError(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error}") from error


def guarded_transport(trusted: ssl.SSLContext, network: Network, proxy: str) -> httpx.AsyncHTTPTransport:
    """A transport that contacts allowed addresses only; with a proxy it is the proxy's address that counts."""
    transport = httpx.AsyncHTTPTransport(verify=trusted, proxy=proxy or None, trust_env=False)
    pool = transport._pool  # noqa: SLF001 - httpx hands no backend to its pool; a test fails should this change
    pool._network_backend = Guard(pool._network_backend, network)  # noqa: SLF001 - the same
    return transport
