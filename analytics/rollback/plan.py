"""From a verdict to a decision: which devices go back, the worst hit first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.rollback.actuator import Decision, Purpose, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analytics.rollouts.evidence import History
    from ingest.contract.events import RolloutPlan


def install_decision(plan: RolloutPlan, canaries: Iterable[History], now: int) -> Decision:
    """Give the release to these canaries."""
    return Decision(
        rollout=plan.rollout,
        tenant=plan.tenant,
        purpose=Purpose.INSTALL,
        version=plan.release,
        digest=plan.release_digest,
        decided_at=now,
        expiry_s=plan.command_expiry_s,
        targets=[Target(history.site, history.device) for history in canaries],
    )


def rollback_decision(plan: RolloutPlan, targets: Iterable[Target], now: int, reason: str) -> Decision:
    """Give the previous release to these devices, under higher counters."""
    return Decision(
        rollout=plan.rollout,
        tenant=plan.tenant,
        purpose=Purpose.ROLLBACK,
        version=plan.previous_release,
        digest=plan.previous_digest,
        decided_at=now,
        expiry_s=plan.command_expiry_s,
        targets=list(targets),
        reason=reason,
        owners=plan.actuators,
    )


def rollback_order(histories: Iterable[History]) -> list[History]:
    """Every device that was ever told to install the release: first those that crashed, then the silent, then the rest."""
    commanded = [history for history in histories if history.command]
    return sorted(commanded, key=lambda h: (not h.crashed, not h.silent, h.site, h.device))
