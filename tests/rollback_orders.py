"""An order to go back from a bad release, and where one that cannot be carried out ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from analytics.rollback.orders import ORDERS
from analytics.rollback.owners.owner import Order, order_id
from ingest.contract.topics import dead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.rollback.sender import Sender
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log

BAD, GOOD = "2.3.0", "2.2.0"
DECIDED_AT = 1_700_000_000_000
DEADLINE_S = 240.0


def order_of(
    owned: Mapping[str, str], actuator: str, devices: int, identity: tuple[str, str] = ("fw", "acme")
) -> Order:
    """For the owner's object `owned`; `identity` is what tells one decision from another."""
    return Order(
        id=order_id(*identity, DECIDED_AT),
        actuator=actuator,
        object=dict(owned),
        rollout="fw",
        tenant="acme",
        version=GOOD,
        digest="sha256:" + "ab" * 32,
        decided_at=DECIDED_AT,
        reason="gate failed: crash",
        devices=[f"north/d{n}" for n in range(devices)],
    )


async def buried(log: Log, sender: Sender, running: asyncio.Task[None]) -> Record:
    """The first dead letter among orders; then the sender is drained and the log closed."""
    graves = await log.subscribe((dead(ORDERS),), group="look", member="m")
    found: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while not found:
            found = await graves.poll(5, 0.1)
    sender.drain()
    await running
    await graves.close()
    await log.close()
    return found[0]
