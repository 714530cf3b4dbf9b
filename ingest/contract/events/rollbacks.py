"""The way back and its answers: topics `rollout.rollbacks.v1`, `rollout.acks.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RollbackPhase(StrEnum):
    """How far a rollback has come."""

    COMMANDED = "commanded"
    COMPLETE = "complete"


class RollbackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.rollbacks.v1`, key rollout: who was commanded, who is done, recovered or unreachable.

    `recovering` are those who are done and not recovered, and why; `uncompared` recovered without a control to compare with.
    """

    rollout: str
    tenant: str
    phase: RollbackPhase
    decided_at: int
    at: int
    commanded: list[str]
    done: list[str]
    recovered: list[str]
    unreachable: list[str]
    refused: dict[str, str] = {}
    recovering: dict[str, str] = {}
    uncompared: list[str] = []


class AckStatus(StrEnum):
    """What a device says of a command."""

    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"  # said by the gateway: no acknowledgement came before the command expired


class AckEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.acks.v1`, key site: a device's acknowledgement, at the gateway's time `at` (ms)."""

    tenant: str
    site: str
    gateway: str
    device: str
    command: str
    status: AckStatus
    at: int
    firmware: str = ""
    reason: str = ""
