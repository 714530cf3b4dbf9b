"""Commands that must not be obeyed: refused by the gateway or the device, each with its reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.commands import INSTALL, Command, SignedCommand, key_id, sign_command
from ingest.contract.events import AckEvent
from ingest.contract.records import Outgoing, read_event
from ingest.contract.topics import ACKS, COMMANDS
from ingest.runtime.secrets import load_private_key
from tests.process_fleet import CLOCK, OLD, SmallFleet
from tests.process_house import SITE, TENANT, House
from tests.process_kit import nursery, until
from tests.refusals import dead_letters

if TYPE_CHECKING:
    from pathlib import Path


async def test_commands_that_must_not_be_obeyed(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        fleet = SmallFleet(SITE, house.broker, house.credentials.centre_keys(), tmp_path / "devices", number=1)
        fleet.start()
        await until(lambda: known(house), "the device is known", house.told)
        signer = Centre(load_private_key(house.credentials.centre_key))
        first = signer.command(counter=1)
        await send(house, first)
        await until(lambda: answered(house, {"done": 1}), "the first command is done", house.told)
        refused = {
            "bad_signature": tampered(first),
            "unknown_key": Centre(Ed25519PrivateKey.generate()).command(counter=7),
            "malformed": Outgoing(COMMANDS, SITE.encode(), b"{"),
            "foreign_tenant": signer.command(counter=8, tenant="rival"),
            "foreign_site": signer.command(counter=9, site="south"),
            "foreign_device": signer.command(counter=10, device="ghost"),
            "expired": signer.command(counter=11, expires=CLOCK.now_ms() - 1),
            "replayed": signer.command(counter=0),
            "counter_reused": signer.command(counter=1, version="9.9.9"),
        }
        await send(house, first, *refused.values())
        await until(lambda: answered(house, {"done": 1, **dict.fromkeys(refused, 1)}), "all are refused", house.told)
        await send(house, signer.command(counter=2))
        await until(lambda: answered(house, {"done": 2, **dict.fromkeys(refused, 1)}), "it still obeys", house.told)
        letters = Counter(letter["reason"] for letter in await dead_letters(house, COMMANDS))
        assert letters == dict.fromkeys(refused, 1)
        metrics = await house.edge.metrics()
        counted = {
            dict(labels)["outcome"]: value
            for (name, labels), value in metrics.items()
            if name == "tidegate_edge_commands_total"
        }
        assert counted["duplicate"] == 1
        assert {f"refused_{reason}" for reason in refused} <= counted.keys()
        assert fleet.installs["d00"] == []  # it has what it was told to install
        await fleet.stop()
        await house.stop()


class Centre:
    """Whoever signs commands."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.key = key

    def command(self, *, counter: int, **changes: Any) -> Outgoing:
        now = CLOCK.now_ms()
        command = Command(
            command=f"command-{counter}-{changes.get('version', '')}",
            kind=INSTALL,
            tenant=TENANT,
            site=SITE,
            device="d00",
            rollout="by-hand",
            key=key_id(self.key.public_key()),
            counter=counter,
            issued=now,
            expires=now + 600_000,
            version=OLD.version,
            digest=OLD.digest(),
        )
        signed = sign_command(msgspec.structs.replace(command, **changes), self.key)
        return Outgoing(COMMANDS, SITE.encode(), msgspec.json.encode(signed))


def tampered(record: Outgoing) -> Outgoing:
    signed = msgspec.json.decode(record.value or b"", type=SignedCommand)
    other = msgspec.structs.replace(signed, payload=signed.payload[:-8] + "AAAAAAA=")
    return msgspec.structs.replace(record, value=msgspec.json.encode(other))


async def known(house: House) -> bool:
    return bool(await house.client.items("/v1/devices"))


async def send(house: House, *records: Outgoing) -> None:
    log = house.log()
    try:
        await log.append(records)
    finally:
        await log.close()


async def answered(house: House, wanted: dict[str, int]) -> bool:
    acks = [read_event(record, AckEvent) for record in await house.records(ACKS)]
    return Counter((ack.reason or ack.status.value) for ack in acks if ack) == wanted
