"""What is being rolled out to whom: topic `rollout.plans.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class GuardKind(StrEnum):
    """What a guard watches."""

    CRASH = "crash"  # first crash or reboot since enrolment
    SILENCE = "silence"  # first lease that ran out since enrolment


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a release may do harm. `margin`: the marginal hazard ratio of first events that is tolerable."""

    name: str
    kind: GuardKind
    weight: float = 1.0
    margin: float = 1.5


class PlanState(StrEnum):
    """Whether a rollout is under way."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class RollbackMode(StrEnum):
    """What a `fail` leads to."""

    OBSERVE = "observe"
    AUTOMATIC = "automatic"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices a rollout is for; an empty list selects all."""

    sites: list[str] = []
    hardware: list[str] = []
    groups: list[str] = []
    firmware: list[str] = []


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.plans.v1`, key rollout: what is being rolled out to whom, and its guards.

    Digests are `sha256:<hex>` of the images; `canary_share` is the probability of the canary arm;
    `install_grace_s` is how long an update may keep a device silent without that being evidence.
    """

    rollout: str
    tenant: str
    release: str
    previous_release: str
    release_digest: str
    previous_digest: str
    created: int
    guards: list[Guard]
    selection: Selection = msgspec.field(default_factory=Selection)
    canary_share: float = 0.5
    alpha: float = 0.05
    mode: RollbackMode = RollbackMode.OBSERVE
    state: PlanState = PlanState.RUNNING
    seed: int = 0
    install_grace_s: float = 300.0
    command_expiry_s: float = 86_400.0
    created_by: str = ""
