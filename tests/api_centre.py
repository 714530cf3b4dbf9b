"""A running API over the embedded log and store, with gateways that sign and tokens that open doors."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashboards.api.auth import NewToken, new_token
from dashboards.api.config import ApiConfig, Scope, TokenConfig
from dashboards.api.service import ApiService, build_api
from ingest.contract.commands import key_id
from ingest.contract.events import (
    AccountEvent,
    AlertEvent,
    AlertState,
    AnomalyEvent,
    AnomalyStatus,
    DeviceChange,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    Guard,
    GuardKind,
    GuardVerdict,
    Outcome,
    RollbackPhase,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.records import Outgoing, event_record
from ingest.contract.topics import (
    ACCOUNTS,
    ALERTS,
    ANOMALIES,
    DEVICES,
    PLANS,
    ROLLBACKS,
    VERDICTS,
    every_topic,
)
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways, signature_headers
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import public_key_text
from ingest.runtime.store.sqlite import SqliteStore
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log
    from ingest.runtime.store.port import Store

NOW = 1_790_000_000_000
DEADLINE_S = 20.0
DIGEST = "sha256:" + "ab" * 32

ALL_SCOPES = list(Scope)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares every plain client the reading of the machine's certificates."""


class Gateway:
    """A gateway that signs what it says."""

    def __init__(self, tenant: str, site: str, name: str = "") -> None:
        self.tenant, self.site, self.name = tenant, site, name or f"gw-{site}"
        self._key = Ed25519PrivateKey.generate()

    def config(self) -> GatewayConfig:
        key = public_key_text(self._key.public_key())
        return GatewayConfig(gateway=self.name, tenant=self.tenant, site=self.site, public_key=key)

    def sign(self, key: str, event: msgspec.Struct) -> Outgoing:
        record = event_record(DEVICES, key, event, event_id=key, source=f"tidegate/{self.site}/{self.name}", time=NOW)
        headers = signature_headers(record.value or b"", self._key, key_id(self._key.public_key()))
        return msgspec.structs.replace(record, headers=(*record.headers, *headers))

    def device(self, name: str, at: int = NOW, **fields: Any) -> Outgoing:
        known = {
            "change": DeviceChange.FIRST_SEEN,
            "state": DeviceState.ONLINE,
            "firmware": "2.2.0",
            "hardware": "rev-a",
            "group": "pumps",
            "last_seen": at,
        }
        event = DeviceEvent(
            tenant=self.tenant, site=self.site, gateway=self.name, device=name, at=at, **(known | fields)
        )
        return self.sign(f"{self.site}/{name}", event)

    def heartbeat(self, at: int, **fields: Any) -> Outgoing:
        known = {"devices": 0, "silent": 0, "cut_off": False}
        event = GatewayEvent(tenant=self.tenant, site=self.site, gateway=self.name, at=at, **(known | fields))
        return self.sign(f"{self.site}/gateway:{self.name}", event)


def record(topic: str, key: str, event: msgspec.Struct) -> Outgoing:
    return event_record(topic, key, event, event_id=key, source="tidegate/test", time=NOW)


def plan(rollout: str = "fw-2.3.0", tenant: str = "acme", **fields: Any) -> RolloutPlan:
    known = {
        "release": "2.3.0",
        "previous_release": "2.2.0",
        "release_digest": DIGEST,
        "previous_digest": "sha256:" + "cd" * 32,
        "created": NOW,
        "guards": [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)],
    }
    return RolloutPlan(rollout=rollout, tenant=tenant, **(known | fields))


def plan_body(rollout: str = "fw-2.3.0", **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(plan(rollout))
    for left_out in ("tenant", "created", "created_by", "state", "approvals", "interventions", "reason"):
        del body[left_out]
    return body | fields


def plan_record(*args: Any, **fields: Any) -> Outgoing:
    made = plan(*args, **fields)
    return record(PLANS, made.rollout, made)


def verdict(rollout: str = "fw-2.3.0", outcome: Outcome = Outcome.INCONCLUSIVE, **fields: Any) -> Verdict:
    known = {
        "tenant": "acme",
        "score": {Outcome.PASS: 100.0, Outcome.FAIL: 0.0}.get(outcome, 50.0),
        "e_value": 1.0,
        "log10_e": 0.0,
        "alpha": 0.05,
        "n_canary": 30,
        "n_control": 30,
        "reason": "because",
        "at": NOW,
        "since": NOW,
        "guards": [
            GuardVerdict(
                name="crash",
                kind=GuardKind.CRASH,
                log10_e_harm=0.5,
                log10_e_safe=-0.5,
                events_canary=3,
                events_control=1,
            )
        ],
        "policy_hash": "p",
        "offsets": {},
    }
    return Verdict(rollout=rollout, verdict=outcome, **(known | fields))


def verdict_record(*args: Any, **fields: Any) -> Outgoing:
    made = verdict(*args, **fields)
    return record(VERDICTS, made.rollout, made)


def rollback_record(rollout: str = "fw-2.3.0", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "phase": RollbackPhase.COMMANDED,
        "decided_at": NOW,
        "at": NOW,
        "commanded": ["north/a", "north/b", "north/c"],
        "done": ["north/a"],
        "recovered": [],
        "unreachable": ["north/c"],
    }
    return record(ROLLBACKS, rollout, RollbackStatus(rollout=rollout, tenant=tenant, **(known | fields)))


def alert_record(fingerprint: str = "f1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "name": "MetricAnomaly",
        "state": AlertState.FIRING,
        "severity": "warning",
        "labels": {"site": "north", "device": "pump-1"},
        "annotations": {"summary": "heap is above what is usual"},
        "numbers": {"value": 91.5, "expected": 40.0},
        "changed_at": NOW,
        "pending_since": NOW - 1000,
        "starts_at": NOW,
    }
    return record(ALERTS, fingerprint, AlertEvent(fingerprint=fingerprint, tenant=tenant, **(known | fields)))


def anomaly_record(device: str = "pump-1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "site": "north",
        "metric": "heap",
        "labels": (),
        "status": AnomalyStatus.ENTERED,
        "detector": "level",
        "at": NOW,
        "since": NOW,
        "value": 91.5,
        "expected": 40.0,
        "scale": 2.0,
        "score": 0.99,
        "tail_probability": 1e-6,
    }
    event = AnomalyEvent(tenant=tenant, device=device, **(known | fields))
    return record(ANOMALIES, f"{event.site}/{device}", event)


def account_record(tenant: str = "acme", site: str = "north", **fields: Any) -> Outgoing:
    known = {
        "gateway": f"gw-{site}",
        "boot": "b1",
        "partition": 0,
        "offset": 5,
        "received_seqs": [(1, 5)],
        "chain_seq": 5,
        "chain_digest": bytes(32),
        "finding": "balanced",
        "first_broken_seq": 0,
        "received": 110,
        "rolled_up": 100,
        "duplicate": 4,
        "rejected": {"malformed": 3},
        "dropped": {},
        "open": 3,
        "stored": 100,
        "batches": 5,
        "duplicate_batches": 0,
        "at": NOW,
    }
    event = AccountEvent(tenant=tenant, site=site, **(known | fields))
    return record(ACCOUNTS, f"{event.gateway}/{event.boot}", event)


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
