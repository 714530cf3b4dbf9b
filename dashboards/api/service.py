"""The API as a service: views fed from the log, served over HTTP until drained."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from dashboards.api.app import build_app
from dashboards.api.auth import Tokens
from dashboards.api.config import ApiConfig, check_config
from dashboards.api.context import Context
from dashboards.api.feed import Feed
from dashboards.api.hub import Hub
from dashboards.api.idempotency import IdempotencyStore
from dashboards.api.projection import Projection
from dashboards.api.rate import RateLimit
from dashboards.api.token_file import TokenFile
from ingest.contract.commands import key_id
from ingest.runtime.observe import listen, server_tls, url_of
from ingest.runtime.secrets import load_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socket import socket

    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.store.port import Store
    from ingest.runtime.telemetry import Telemetry

SHUTDOWN_S = 5
REQUEST_HEAD_BYTES = 32_768
CONNECTIONS = 2000


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to the process."""

    def __init__(self, config: uvicorn.Config, answering: asyncio.Event) -> None:
        super().__init__(config)
        self._answering = answering

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._answering.set()


class ApiService:
    """Runs the application and the feed of its views."""

    name = "api"

    def __init__(self, context: Context, feed: Feed) -> None:
        self._context, self._feed = context, feed
        self._draining = asyncio.Event()
        self._address = ""
        self.started = asyncio.Event()
        """Set when requests are answered."""

    @property
    def address(self) -> str:
        """The base URL, once `started` is set; empty before."""
        return self._address

    async def run(self) -> None:
        """Serve until drained. Raises ListenError."""
        config = self._context.config
        with contextlib.closing(listen(config.host, config.port)) as sock:
            self._address = url_of(sock, tls=bool(config.tls_certificate))
            self._context.base_url = config.public_url.rstrip("/") or self._address
            await self._serve(sock)

    def drain(self) -> None:
        """End the event streams, finish the requests under way, return from `run`."""
        self._draining.set()

    async def _serve(self, sock: socket) -> None:
        server = _Server(self._server_config(), self.started)
        serving = asyncio.create_task(server.serve([sock]), name="api.http")
        feeding = asyncio.create_task(self._feed.run(), name="api.feed")
        draining = asyncio.create_task(self._draining.wait())
        await asyncio.wait({serving, feeding, draining}, return_when=asyncio.FIRST_COMPLETED)
        self._context.hub.close()
        self._feed.drain()
        server.should_exit = True
        draining.cancel()
        await asyncio.gather(serving, feeding)

    def _server_config(self) -> uvicorn.Config:
        config = self._context.config
        return uvicorn.Config(
            build_app(self._context),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=REQUEST_HEAD_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_S,
            ssl_certfile=config.tls_certificate or None,
            ssl_keyfile=config.tls_key or None,
        )


def build_api(
    config: ApiConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    store: Store,
    health: Health,
    telemetry: Telemetry,
    settled: Callable[[], None] = lambda: None,
) -> ApiService:
    """The API over these parts; `settled` is called when the topics have been read.

    Raises ApiConfigError, ListenError, SecretError for what must not be served.
    """
    check_config(config)
    server_tls(config.tls_certificate, config.tls_key)  # a bad certificate is found here, not at the first request
    key = load_private_key(config.signing_key_file) if config.signing_key_file else None
    keys = {key_id(key.public_key()): key.public_key()} if key else {}
    named = frozenset(token.name for token in config.tokens)
    kept = TokenFile(Path(config.tokens_file), named) if config.tokens_file else None
    if kept:
        kept.tokens()  # a file that cannot be read is found here, not at the first request
    projection, hub = Projection(config, gateways, keys), Hub(config.streams)
    context = Context(
        config=config,
        clock=clock,
        log=log,
        store=store,
        health=health,
        telemetry=telemetry,
        projection=projection,
        hub=hub,
        tokens=Tokens(config.tokens, kept, clock.now_ms),
        rate=RateLimit(config.requests_per_s, config.requests_at_once),
        idempotency=IdempotencyStore(),
        key=key,
    )
    feed = Feed(projection, hub, log=log, clock=clock, health=health, telemetry=telemetry, settled=settled)
    return ApiService(context, feed)
