"""Orders to the owners of a rollout: kept in a topic until the owner has gone back, whatever that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollback.actuator import Decision, Purpose
from analytics.rollback.owners.owner import Order, order_id
from ingest.contract.records import event_record
from ingest.contract.topics import TopicSettings

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing

ORDERS = "rollout.orders.v1"
"""Topic, key rollout: `Order` as JSON."""

ORDER_SETTINGS = TopicSettings(partitions=1, compacted=False, retention_ms=30 * 86_400_000)


class OwnerOrders:
    """One order per rollback decision and owner that the plan names; carrying it out is `OrderAttempt`'s."""

    name = "orders"

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def carry_out(self, decision: Decision, now: int, trace: str | None) -> list[Outgoing]:
        """The orders, the first time that a rollout is rolled back; devices that return later are the MQTT actuator's."""
        if decision.purpose is not Purpose.ROLLBACK or decision.rollout in self._told:
            return []
        self._told[decision.rollout] = decision.decided_at
        return [
            event_record(
                ORDERS,
                decision.rollout,
                order,
                event_id=f"{order.id}:{number}",
                source="tidegate/gate",
                time=now,
                trace=trace,
            )
            for number, order in enumerate(orders_of(decision))
        ]

    def snapshot(self) -> bytes:
        """When each rollout's owners were told."""
        return msgspec.msgpack.encode(self._told)

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot."""
        self._told = msgspec.msgpack.decode(state, type=dict[str, int])

    def forget(self, rollout: str) -> None:
        """A rollout is over for good."""
        self._told.pop(rollout, None)


def orders_of(decision: Decision) -> list[Order]:
    """One order for each of the decision's owners."""
    return [
        Order(
            id=order_id(decision.rollout, decision.tenant, decision.decided_at),
            actuator=owner.actuator,
            object=owner.object,
            rollout=decision.rollout,
            tenant=decision.tenant,
            version=decision.version,
            digest=decision.digest,
            decided_at=decision.decided_at,
            reason=decision.reason,
            devices=[f"{target.site}/{target.device}" for target in decision.targets],
        )
        for owner in decision.owners
    ]
