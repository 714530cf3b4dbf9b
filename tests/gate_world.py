"""A small fleet with its gateways' keys, and the signed records that it sends the gate."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.batch import Origin
from ingest.contract.batch_wire import encode_batch
from ingest.contract.commands import Command, key_id, open_command
from ingest.contract.events import (
    AckEvent,
    AckStatus,
    AnomalyEvent,
    AnomalyStatus,
    DeviceChange,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    Guard,
    GuardKind,
    RollbackMode,
    RolloutPlan,
)
from ingest.contract.records import Outgoing, Record
from ingest.contract.topics import ACKS, ANOMALIES, COMMANDS, DEVICES, PLANS, ROLLUPS
from ingest.runtime.gateways import GatewayConfig, Gateways, signature_headers
from ingest.runtime.secrets import public_key_text
from tests.rollup_batches import Row, make_batch

T0 = 1_700_000_000_000
TENANT = "acme"
OLD, NEW = "2.2.0", "2.3.0"


def plan_of(**changes: object) -> RolloutPlan:
    plan = RolloutPlan(
        rollout="fw-2.3",
        tenant=TENANT,
        release=NEW,
        previous_release=OLD,
        release_digest="sha256:" + "a" * 64,
        previous_digest="sha256:" + "b" * 64,
        created=T0,
        guards=[Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)],
        mode=RollbackMode.AUTOMATIC,
        install_grace_s=20.0,
        outage_s=0.0,
        command_expiry_s=600.0,
    )
    return msgspec.structs.replace(plan, **changes)


class Fleet:
    """Sites with one gateway each. Every method makes the record that a gateway (or the centre) would append."""

    def __init__(self, sites: tuple[str, ...] = ("north",), per_site: int = 24) -> None:
        self.keys = {site: Ed25519PrivateKey.generate() for site in sites}
        self.names = {site: [f"{site}-{n:02d}" for n in range(per_site)] for site in sites}
        self.gateways = Gateways(
            GatewayConfig(gateway=f"gw-{site}", tenant=TENANT, site=site, public_key=public_key_text(key.public_key()))
            for site, key in self.keys.items()
        )
        self._seq = 0

    def device(
        self,
        site: str,
        device: str,
        at: int,
        change: DeviceChange = DeviceChange.FIRST_SEEN,
        *,
        state: DeviceState = DeviceState.ONLINE,
        firmware: str = OLD,
        tags: list[str] | None = None,
        **more: str,
    ) -> Outgoing:
        event = DeviceEvent(
            tenant=TENANT,
            site=site,
            gateway=f"gw-{site}",
            device=device,
            change=change,
            state=state,
            at=at,
            firmware=firmware,
            hardware=more.get("hardware", "rev-a"),
            group=more.get("group", "pumps"),
            tags=tags or [],
        )
        return self._signed(DEVICES, f"{site}/{device}", event, site, more.get("trace", ""))

    def everyone(self, at: int) -> list[Outgoing]:
        return [self.device(site, name, at) for site, names in self.names.items() for name in names]

    def beat(self, site: str, at: int, **more: int) -> Outgoing:
        gateway = f"gw-{site}"
        event = GatewayEvent(
            tenant=TENANT, site=site, gateway=gateway, at=at, devices=1, silent=0, cut_off=False, **more
        )
        return self._signed(DEVICES, f"{site}/gateway:{gateway}", event, site)

    def ack(self, command: Command, status: AckStatus, at: int, firmware: str = "", reason: str = "") -> Outgoing:
        event = AckEvent(
            tenant=TENANT,
            site=command.site,
            gateway=f"gw-{command.site}",
            device=command.device,
            command=command.command,
            status=status,
            at=at,
            firmware=firmware,
            reason=reason,
        )
        return self._signed(ACKS, command.site, event, command.site)

    def windows(self, site: str, devices: list[str], start: int) -> Outgoing:
        return self.measured(site, [Row(device=name, start=start, width=1000) for name in devices])

    def measured(self, site: str, rows: list[Row]) -> Outgoing:
        self._seq += 1
        value = encode_batch(make_batch(rows, origin=Origin(TENANT, site, f"gw-{site}", "boot"), seq=self._seq))
        return self._sign(Outgoing(ROLLUPS, site.encode(), value), site)

    def _signed(self, topic: str, key: str, event: msgspec.Struct, site: str, trace: str = "") -> Outgoing:
        headers = (("traceparent", trace.encode()),) if trace else ()
        return self._sign(Outgoing(topic, key.encode(), msgspec.json.encode(event), headers), site)

    def _sign(self, record: Outgoing, site: str) -> Outgoing:
        private = self.keys[site]
        signature = signature_headers(record.value or b"", private, key_id(private.public_key()))
        return msgspec.structs.replace(record, headers=record.headers + signature)


def plan_record(plan: RolloutPlan) -> Outgoing:
    return Outgoing(PLANS, plan.rollout.encode(), msgspec.json.encode(plan))


def anomaly_event(site: str, device: str, at: int, status: AnomalyStatus, metric: str = "memory") -> AnomalyEvent:
    return AnomalyEvent(
        tenant=TENANT,
        site=site,
        device=device,
        metric=metric,
        labels=(),
        status=status,
        detector="robust_level",
        at=at,
        since=at,
        value=1.0,
        expected=0.0,
        scale=1.0,
        score=1.0,
        tail_probability=0.0,
    )


def anomaly(site: str, device: str, at: int, status: AnomalyStatus) -> Outgoing:
    event = anomaly_event(site, device, at, status)
    return Outgoing(ANOMALIES, f"{site}/{device}".encode(), msgspec.json.encode(event))


class Reader:
    """Gives outgoing records the offsets and log times that they would be read with."""

    def __init__(self) -> None:
        self.offset = 0

    def records(self, outgoing: list[Outgoing], now: int) -> list[Record]:
        self.offset += len(outgoing)
        first = self.offset - len(outgoing)
        return [Record(o.topic, 0, first + n, o.key, o.value, o.headers, timestamp=now) for n, o in enumerate(outgoing)]


def commands_in(outgoing: list[Outgoing], key: Ed25519PrivateKey) -> list[Command]:
    """The commands among the records, verified as a device would."""
    public = key.public_key()
    return [open_command(o.value or b"", {key_id(public): public}) for o in outgoing if o.topic == COMMANDS]
