"""The running system as the story sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
from compose.demo.client import ApiClient
from compose.demo.inbox import OnCallInbox
from compose.demo.observation import Account, Observation
from compose.demo.story import ROLLOUT
from compose.embedded.credentials import make_credentials
from compose.embedded.settings import Places, Spans
from compose.embedded.system import System
from compose.fleet.fleet import Fleet, FleetPlan
from compose.fleet.release import Registry
from ingest.runtime.secrets import write_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AsyncExitStack
    from pathlib import Path

    from compose.demo.screen import Screen
    from compose.demo.story import Script
    from compose.embedded.credentials import Credentials
    from compose.stack.endpoints import Endpoints
    from ingest.runtime.clock import Clock


class SystemTheatre:
    """System, fleet and on-call inbox together."""

    def __init__(self, system: System, fleet: Fleet, inbox: OnCallInbox, client: ApiClient, screen: Screen) -> None:
        self.fleet = fleet
        self.seconds: Callable[[], float] = lambda: 0.0
        self._system, self._inbox, self._client, self._screen = system, inbox, client, screen
        self._token = ""

    @classmethod
    async def open(
        cls,
        tenant: str,
        sites: Sequence[str],
        per_site: int,
        script: Script,
        *,
        folder: Path,
        servers: Endpoints | None,
        clock: Clock,
        screen: Screen,
        around: AsyncExitStack,
    ) -> Self:
        """Start everything; `around` stops it again, in the opposite order."""
        credentials = make_credentials(folder / "secrets", tenant, sites)
        inbox = OnCallInbox(credentials.webhook_secret)
        inbox.start()
        around.callback(inbox.stop)
        system = System(
            tenant,
            sites,
            places=Places(folder=str(folder)),
            spans=Spans(),
            credentials=credentials,
            clock=clock,
            webhooks=[_webhook(inbox, credentials)],
            alertmanagers=_alertmanagers(servers, folder),
            servers=servers,
        )
        around.push_async_callback(system.stop)
        await system.start()
        plan = FleetPlan(
            tenant=tenant,
            sites={site: system.broker(site) for site in sites},
            per_site=per_site,
            firmware=script.old.version,
            seed=script.seed,
        )
        registry = Registry([script.old, script.new])
        fleet = Fleet(plan, registry=registry, keys=credentials.centre_keys(), folder=folder / "devices", clock=clock)
        client = ApiClient(system.api_address, credentials.token)
        around.push_async_callback(client.close)
        fleet.start()
        theatre = cls(system, fleet, inbox, client, screen)
        theatre._token = credentials.token
        return theatre

    def page(self) -> tuple[str, str]:
        """The page's address, and the token for its form: no address holds a token."""
        return f"{self._system.api_address}/", self._token

    async def look(self) -> Observation:
        """What is to be seen now, also on the screen."""
        client = self._client
        devices, sites, alerts = await asyncio.gather(
            client.items("/v1/devices?limit=1000"), client.items("/v1/sites"), client.items("/v1/alerts?limit=1000")
        )
        gate, rollback = await self._rollout()
        seen = Observation(
            devices=devices,
            sites=sites,
            alerts=alerts,
            gate=gate,
            rollback=rollback,
            account=await self.account(),
            fired=frozenset(self._inbox.fingerprints("firing")),
            resolved=frozenset(self._inbox.fingerprints("resolved")),
        )
        self._screen.show(self.seconds(), seen)
        return seen

    def cut_uplink(self) -> str:
        """Cut the last site's uplink."""
        site = list(self._system.uplinks)[-1]
        self._system.uplinks[site].cut()
        return site

    def mend_uplink(self) -> None:
        """Mend all uplinks."""
        for uplink in self._system.uplinks.values():
            uplink.mend()

    async def start_rollout(self, plan: dict[str, Any]) -> None:
        """Begin a rollout through the API."""
        await self._client.start_rollout(plan)

    async def account(self) -> Account:
        """All gateways' ledgers together."""
        found = await asyncio.gather(*(edge.standing() for edge in self._system.edges.values()))
        standing = [one for one in found if one is not None]
        totals = [one.totals for one in standing]
        return Account(
            received=sum(t.received for t in totals),
            rolled_up=sum(t.rolled_up for t in totals),
            duplicate=sum(t.duplicate for t in totals),
            rejected=sum(sum(t.rejected.values()) for t in totals),
            dropped=sum(sum(t.dropped.values()) for t in totals),
            open=sum(t.open for t in totals),
            waiting=sum(one.outbox_records for one in standing),
        )

    async def stored(self) -> int:
        """Samples in the store's windows."""
        return (await self._system.store.totals(self._system.tenant)).samples

    async def _rollout(self) -> tuple[dict[str, Any], dict[str, Any]]:
        detail = await self._client.find(f"/v1/rollouts/{ROLLOUT}")
        gate = await self._client.find(f"/v1/gates/{ROLLOUT}")
        return gate, dict(detail.get("rollback", {}))


def _webhook(inbox: OnCallInbox, credentials: Credentials) -> WebhookConfig:
    return WebhookConfig(name="on-call", url=inbox.url, secret_file=str(credentials.webhook_secret_file()))


def _alertmanagers(servers: Endpoints | None, folder: Path) -> list[AlertmanagerConfig]:
    if servers is None:
        return []
    manager = servers.alertmanager
    if not manager.username:
        return [AlertmanagerConfig(name="alertmanager", urls=[manager.url])]
    secret = folder / "secrets" / "alertmanager-password"
    write_secret(secret, manager.password.encode())
    return [
        AlertmanagerConfig(
            name="alertmanager", urls=[manager.url], username=manager.username, password_file=str(secret)
        )
    ]
