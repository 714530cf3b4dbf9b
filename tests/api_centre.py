"""A running API over the embedded log and store, with gateways that sign and tokens that open doors."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from dashboards.api.auth import NewToken, new_token
from dashboards.api.config import ApiConfig, Scope, TokenConfig
from dashboards.api.service import ApiService, build_api
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.store.sqlite import SqliteStore
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ingest.contract.records import Outgoing
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log
    from ingest.runtime.store.port import Store
    from tests.api_records import Gateway

DEADLINE_S = 60.0

ALL_SCOPES = list(Scope)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares every plain client the reading of the machine's certificates."""


class Centre:
    """A running API."""

    def __init__(
        self,
        folder: Path,
        gateways: list[Gateway],
        tenants: tuple[str, ...] = ("acme", "other"),
        clock: Clock | None = None,
        **config: Any,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.gateways = gateways
        self.tokens: dict[str, NewToken] = {tenant: new_token() for tenant in tenants}
        self.log: Log = SqliteLog(folder / "log.db", self.clock)
        self.store: Store = SqliteStore(folder / "store.db")
        self.health, self.telemetry = Health(), Telemetry("test")
        self.config = ApiConfig(**({"port": 0, "tokens": self._token_configs()} | config))
        self.api: ApiService = self.build()

    def build(self) -> ApiService:
        return build_api(
            self.config,
            Gateways(gateway.config() for gateway in self.gateways),
            clock=self.clock,
            log=self.log,
            store=self.store,
            health=self.health,
            telemetry=self.telemetry,
        )

    def client(self, tenant: str | None = "acme", token: str = "", **options: Any) -> httpx.AsyncClient:
        shown = token or (self.tokens[tenant].token if tenant else "")
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        known = {"base_url": self.api.address, "timeout": DEADLINE_S, "trust_env": False, "verify": NO_TLS}
        return httpx.AsyncClient(headers=headers | options.pop("headers", {}), **known, **options)

    async def put(self, *records: Outgoing) -> None:
        await self.log.append(list(records))

    async def eventually(self, path: str, seen: Callable[[Any], bool], tenant: str = "acme") -> Any:
        """The JSON of `path` as soon as `seen` accepts it."""
        async with self.client(tenant) as client:

            async def look() -> Any:
                answer = await client.get(path)
                return answer.json() if answer.is_success and seen(answer.json()) else None

            return await until(look, path)

    def _token_configs(self) -> list[TokenConfig]:
        return [
            TokenConfig(name=f"{tenant}-all", tenant=tenant, sha256=token.sha256, scopes=ALL_SCOPES)
            for tenant, token in self.tokens.items()
        ]


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask until there is an answer; fails after a generous time."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := await look()):  # noqa: ASYNC110 - another process may be what is waited for
            await asyncio.sleep(0.02)
    assert found, what
    return found


@asynccontextmanager
async def running(centre: Centre) -> AsyncIterator[Centre]:
    """Started, ready, and drained at the end."""
    await centre.log.ensure_topics(every_topic())
    run = asyncio.create_task(centre.api.run())
    try:
        started = asyncio.create_task(centre.api.started.wait())
        await asyncio.wait({run, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if run.done():
            run.result()
        yield centre
    finally:
        centre.api.drain()
        await asyncio.wait_for(run, DEADLINE_S)
        await centre.log.close()
        await centre.store.close()
        centre.telemetry.close()
