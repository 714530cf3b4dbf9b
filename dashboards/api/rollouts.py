"""One rollout as the centre knows it: plan, newest verdict, its e-value's path, the rollback."""

from __future__ import annotations

import math

import msgspec
from msgspec import UNSET, UnsetType

from dashboards.api.evidence_path import EvidencePath
from ingest.contract.events import (
    Approval,
    Guard,
    GuardVerdict,
    Intervention,
    Outcome,
    PlanState,
    RollbackMode,
    RollbackPhase,
    RollbackStatus,
    RolloutPlan,
    Selection,
    Verdict,
)

LISTED = 1000
"""How many devices of each kind a rollback's details name; the counts are always exact."""


class VerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict's numbers; `threshold` is log10(1/alpha), which `log10_e` has to reach for a fail."""

    verdict: Outcome
    score: float
    e_value: float
    log10_e: float
    alpha: float
    threshold: float
    n_canary: int
    n_control: int
    reason: str
    at: int
    since: int
    guards: list[GuardVerdict]
    guilty: str
    observational: bool
    policy_hash: str
    forced: str
    people: list[str]


class RolloutVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says of a rollout."""

    rollout: str
    verdict: VerdictView


class RollbackCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a rollback has come, in devices."""

    commanded: int
    done: int
    recovered: int
    unreachable: int
    refused: int


class RollbackView(msgspec.Struct, frozen=True, kw_only=True):
    """A rollback in numbers."""

    phase: RollbackPhase
    decided_at: int
    at: int
    counts: RollbackCounts


class RollbackDetail(RollbackView, frozen=True, kw_only=True):
    """A rollback with its devices by name, at most `LISTED` of each kind; `refused` and `recovering` with the reason."""

    commanded: list[str]
    done: list[str]
    recovered: list[str]
    unreachable: list[str]
    refused: dict[str, str]
    recovering: dict[str, str] = {}
    uncompared: list[str] = []


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout in a list."""

    rollout: str
    release: str = ""
    previous_release: str = ""
    state: PlanState = PlanState.RUNNING
    mode: RollbackMode = RollbackMode.OBSERVE
    alpha: float = 0.0
    canary_share: float = 0.0
    created: int = 0
    created_by: str = ""
    guards: list[Guard] = []
    verdict: VerdictView | UnsetType = UNSET
    rollback: RollbackView | UnsetType = UNSET


class PathPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The e-value's logarithm at one watermark (ms)."""

    at: int
    log10_e: float


class RolloutDetail(RolloutView, frozen=True, kw_only=True):
    """Everything known of one rollout."""

    path: list[PathPoint]
    selection: Selection
    release_digest: str = ""
    previous_digest: str = ""
    install_grace_s: float = 0.0
    command_expiry_s: float = 0.0
    seed: int = 0
    approvals: list[Approval] = []
    interventions: list[Intervention] = []
    reason: str = ""
    rollback: RollbackDetail | UnsetType = UNSET


class Rollout:
    """What has been read of one rollout; at least a plan or a verdict."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: RolloutPlan | None = None
        self.verdict: Verdict | None = None
        self.rollback: RollbackStatus | None = None
        self.path = EvidencePath()

    def judged(self, verdict: Verdict) -> bool:
        """Take a verdict unless a later one is known."""
        if self.verdict is not None and verdict.at < self.verdict.at:
            return False
        self.verdict = verdict
        self.path.add(verdict.at, verdict.log10_e)
        return True

    def view(self) -> RolloutView:
        """As it stands in a list."""
        plan = self.plan
        verdict = verdict_view(self.verdict) if self.verdict else UNSET
        rollback = rollback_view(self.rollback) if self.rollback else UNSET
        if plan is None:
            alpha = self.verdict.alpha if self.verdict else 0.0
            return RolloutView(rollout=self.name, alpha=alpha, verdict=verdict, rollback=rollback)
        return RolloutView(
            rollout=self.name,
            release=plan.release,
            previous_release=plan.previous_release,
            state=plan.state,
            mode=plan.mode,
            alpha=plan.alpha,
            canary_share=plan.canary_share,
            created=plan.created,
            created_by=plan.created_by,
            guards=plan.guards,
            verdict=verdict,
            rollback=rollback,
        )

    def detail(self) -> RolloutDetail:
        """Everything."""
        fields = msgspec.structs.asdict(self.view())
        fields["path"] = [PathPoint(at=at, log10_e=log10_e) for at, log10_e in self.path.points()]
        fields["rollback"] = rollback_detail(self.rollback) if self.rollback else UNSET
        plan = self.plan
        if plan is None:
            return RolloutDetail(selection=Selection(), **fields)
        return RolloutDetail(
            selection=plan.selection,
            release_digest=plan.release_digest,
            previous_digest=plan.previous_digest,
            install_grace_s=plan.install_grace_s,
            command_expiry_s=plan.command_expiry_s,
            seed=plan.seed,
            approvals=plan.approvals,
            interventions=plan.interventions,
            reason=plan.reason,
            **fields,
        )


def threshold(alpha: float) -> float:
    """log10(1/alpha): what the logarithm of the e-value has to reach; 0 for an alpha that is none."""
    return -math.log10(alpha) if 0 < alpha < 1 else 0.0


def verdict_view(verdict: Verdict) -> VerdictView:
    """The verdict's numbers with their threshold."""
    return VerdictView(
        verdict=verdict.verdict,
        score=verdict.score,
        e_value=verdict.e_value,
        log10_e=verdict.log10_e,
        alpha=verdict.alpha,
        threshold=threshold(verdict.alpha),
        n_canary=verdict.n_canary,
        n_control=verdict.n_control,
        reason=verdict.reason,
        at=verdict.at,
        since=verdict.since,
        guards=verdict.guards,
        guilty=verdict.guilty,
        observational=verdict.observational,
        policy_hash=verdict.policy_hash,
        forced=verdict.forced,
        people=verdict.people,
    )


def rollback_view(rollback: RollbackStatus) -> RollbackView:
    """The rollback in numbers."""
    counts = {name: len(getattr(rollback, name)) for name in RollbackCounts.__struct_fields__}
    return RollbackView(
        phase=rollback.phase, decided_at=rollback.decided_at, at=rollback.at, counts=RollbackCounts(**counts)
    )


def rollback_detail(rollback: RollbackStatus) -> RollbackDetail:
    """The rollback with its devices."""
    return RollbackDetail(
        commanded=rollback.commanded[:LISTED],
        done=rollback.done[:LISTED],
        recovered=rollback.recovered[:LISTED],
        unreachable=rollback.unreachable[:LISTED],
        refused=dict(list(rollback.refused.items())[:LISTED]),
        recovering=dict(list(rollback.recovering.items())[:LISTED]),
        uncompared=rollback.uncompared[:LISTED],
        **msgspec.structs.asdict(rollback_view(rollback)),
    )
