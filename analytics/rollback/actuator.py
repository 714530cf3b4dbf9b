"""The Actuator port: what makes a decision happen, one file per way."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from ingest.contract.events import ActuatorRef

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing


class Purpose(StrEnum):
    """What a decision is for."""

    INSTALL = "install"  # the release, to a canary
    ROLLBACK = "rollback"  # the previous release, to a device that was given the release


class Target(NamedTuple):
    """A device; `attempt` rises when a command expired unanswered and the device came back."""

    site: str
    device: str
    attempt: int = 1


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Install `version` on `targets`, in this order. `decided_at` in ms; `reason` is for people.

    `due` are those whose turn it is now (None: all): only they are commanded, whoever owns the rollout is told of all.
    `owners` are the systems that own the rollout and are to go back, too.
    """

    rollout: str
    tenant: str
    purpose: Purpose
    version: str
    digest: str
    decided_at: int
    expiry_s: float
    targets: list[Target]
    reason: str = ""
    due: list[Target] | None = None
    owners: list[ActuatorRef] = []


class Actuator(Protocol):
    """Turns a decision into the exact records to append; whoever asks makes them durable together with `snapshot`.

    That transaction is what makes it safe to stop at any moment: either nothing was asked for, or the records will be
    appended, each at least once and always with the same bytes.
    """

    name: str

    def carry_out(self, decision: Decision, now: int, trace: str | None) -> list[Outgoing]:
        """What is to be sent at time `now` (ms) for those targets that this was not yet asked for."""
        ...

    def snapshot(self) -> bytes:
        """What must be remembered so that nothing is asked for twice."""
        ...

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot."""
        ...

    def forget(self, rollout: str) -> None:
        """A rollout is over for good: what was asked for it need no longer be remembered."""
        ...


def command_id(rollout: str, purpose: Purpose, target: Target) -> str:
    """The name of a command, the same however often it is derived: 32 hexadecimal digits."""
    parts = (rollout, purpose.value, target.site, target.device, str(target.attempt))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
