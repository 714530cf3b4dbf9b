"""A signed webhook to whoever owns the rollout: the exact request, kept in a topic until it was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollback.actuator import Decision, Purpose
from ingest.contract.records import event_record, rfc3339
from ingest.contract.topics import TopicSettings

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing

CALLS = "rollout.calls.v1"
"""Topic, key rollout: what the owner of a rollout is still to be told, as the JSON body of the request."""

CALL_SETTINGS = TopicSettings(partitions=1, compacted=False, retention_ms=30 * 86_400_000)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The body of the request. `devices` are `site/device`, in the order in which they are rolled back."""

    event: str
    rollout: str
    tenant: str
    version: str
    digest: str
    decided_at: str
    reason: str
    devices: list[str]


class RollbackWebhook:
    """One call per rollback decision. Its delivery is `WebhookAttempt`'s."""

    name = "webhook"

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def carry_out(self, decision: Decision, now: int, trace: str | None) -> list[Outgoing]:
        """The call, the first time that a rollout is rolled back; installs are of no interest to the owner."""
        if decision.purpose is not Purpose.ROLLBACK or decision.rollout in self._told:
            return []
        self._told[decision.rollout] = decision.decided_at
        return [
            event_record(
                CALLS,
                decision.rollout,
                _call(decision),
                event_id=idempotency_key(decision),
                source="tidegate/gate",
                time=now,
                trace=trace,
            )
        ]

    def snapshot(self) -> bytes:
        """When each rollout's owner was told."""
        return msgspec.msgpack.encode(self._told)

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot."""
        self._told = msgspec.msgpack.decode(state, type=dict[str, int])

    def forget(self, rollout: str) -> None:
        """A rollout is over for good."""
        self._told.pop(rollout, None)


def idempotency_key(decision: Decision) -> str:
    """Equal for every delivery of the same decision."""
    return f"{decision.rollout}:{decision.purpose.value}:{decision.decided_at}"


def _call(decision: Decision) -> Call:
    return Call(
        event="rollback",
        rollout=decision.rollout,
        tenant=decision.tenant,
        version=decision.version,
        digest=decision.digest,
        decided_at=rfc3339(decision.decided_at),
        reason=decision.reason,
        devices=[f"{target.site}/{target.device}" for target in decision.targets],
    )
