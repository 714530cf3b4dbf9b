"""A large fleet in a log, as the API finds it: devices, sites, alerts, incidents, rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compose.bench.gate.queries import TENANT, rollout_records
from ingest.contract.commands import key_id
from ingest.contract.events import (
    Affected,
    AlertEvent,
    AlertState,
    DeviceChange,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    IncidentEvent,
    IncidentState,
)
from ingest.contract.records import Outgoing, event_record
from ingest.contract.topics import ALERTS, DEVICES, INCIDENTS
from ingest.runtime.gateways import signature_headers
from ingest.runtime.secrets import public_key_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "tidegate/bench"
DEVICES_AT_SITE = 1000
AFFECTED = 50
_FIRMWARE = ("2.1.0", "2.2.0", "2.2.0", "2.2.0", "2.3.0")
_GROUPS = ("pumps", "valves", "meters", "fans")


class Size(NamedTuple):
    """How much the API knows."""

    devices: int = 100_000
    alerts: int = 1000
    incidents: int = 200
    rollouts: int = 50

    @property
    def sites(self) -> int:
        """A thousand devices each."""
        return max(1, self.devices // DEVICES_AT_SITE)


class World:
    """Its gateways sign what they say."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._keys = [Ed25519PrivateKey.generate() for _ in range(size.sites)]

    def gateways(self) -> str:
        """The gateways as an API's configuration has them (TOML)."""
        return "".join(
            f'[[gateways]]\ngateway = "gw-{site}"\ntenant = "{TENANT}"\nsite = "site-{site}"\n'
            f'public_key = "{public_key_text(key.public_key())}"\n'
            for site, key in enumerate(self._keys)
        )

    def place(self, number: int) -> tuple[str, str]:
        """Site and name of a device."""
        return f"site-{number % self.size.sites}", f"device-{number // self.size.sites:05d}"

    def records(self, now: int) -> Iterator[Outgoing]:
        """All that is known."""
        for number in range(self.size.devices):
            yield self.device(number, now, DeviceState.SILENT if number % 97 == 0 else DeviceState.ONLINE)
        for site in range(self.size.sites):
            yield self._heartbeat(site, now)
        for number in range(self.size.alerts):
            yield self._alert(number, now)
        for number in range(self.size.incidents):
            yield self._incident(number, now)
        for number in range(self.size.rollouts):
            yield from rollout_records(f"fw-{number}", number)

    def device(self, number: int, at: int, state: DeviceState) -> Outgoing:
        """What a gateway says of a device."""
        site, device = self.place(number)
        event = DeviceEvent(
            tenant=TENANT, site=site, gateway=self._gateway(number), device=device, at=at, change=DeviceChange.FIRST_SEEN,
            state=state, firmware=_FIRMWARE[number % 5], hardware=f"rev-{'ab'[number % 2]}", group=_GROUPS[number % 4], last_seen=at,
        )  # fmt: skip
        return self._signed(number % self.size.sites, f"{site}/{device}", event, at)

    def _gateway(self, number: int) -> str:
        return f"gw-{number % self.size.sites}"

    def _heartbeat(self, site: int, now: int) -> Outgoing:
        event = GatewayEvent(
            tenant=TENANT, site=f"site-{site}", gateway=f"gw-{site}", at=now, devices=DEVICES_AT_SITE, silent=10, cut_off=False
        )  # fmt: skip
        return self._signed(site, f"site-{site}/gateway:gw-{site}", event, now)

    def _signed(self, site: int, key: str, event: msgspec.Struct, now: int) -> Outgoing:
        private = self._keys[site]
        record = event_record(DEVICES, key, event, event_id=f"{key}:{now}", source=SOURCE, time=now)
        headers = signature_headers(record.value or b"", private, key_id(private.public_key()))
        return msgspec.structs.replace(record, headers=(*record.headers, *headers))

    def _alert(self, number: int, now: int) -> Outgoing:
        site, device = self.place(number * 31 % self.size.devices)
        event = AlertEvent(
            fingerprint=f"alert-{number}", tenant=TENANT, name="MetricAnomaly", severity="warning", changed_at=now - number,
            state=AlertState.RESOLVED if number % 2 else AlertState.FIRING, labels={"site": site, "device": device},
            annotations={"summary": "heap is above what is usual", "runbook": "https://example.com/runbooks/MetricAnomaly"},
            numbers={"value": 91.5, "expected": 40.0}, pending_since=now - 60_000, starts_at=now - 30_000,
        )  # fmt: skip
        return event_record(ALERTS, event.fingerprint, event, event_id=event.fingerprint, source=SOURCE, time=now)

    def _incident(self, number: int, now: int) -> Outgoing:
        places = [self.place((number * 97 + one) % self.size.devices) for one in range(AFFECTED)]
        affected = [
            Affected(site=site, device=device, metric="heap", since=now, value=91.5, expected=40.0, scale=2.0)
            for site, device in places
        ]
        event = IncidentEvent(
            incident=f"inc-{number}", tenant=TENANT, state=IncidentState.RESOLVED if number % 4 else IncidentState.GROWING,
            reason="opened", at=now - number, number=1, since=now, newest=now, told=1, summary="heap high on 50 devices",
            devices=AFFECTED, sites=AFFECTED, series=AFFECTED, active=AFFECTED, root_cause="heap",
            cause_sentence="hardware rev-b: 100 % of the affected, 8 % of the fleet", cause=[], symptoms=[], affected=affected,
        )  # fmt: skip
        return event_record(INCIDENTS, event.incident, event, event_id=event.incident, source=SOURCE, time=now)
