"""Writes rollout plans to the log, each name once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from dashboards.api.plans import same_content
from ingest.contract.events import RolloutPlan
from ingest.contract.records import event_record, read_event
from ingest.contract.topics import PLANS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.api.hub import Hub
    from dashboards.api.projection import Projection
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

SOURCE = "tidegate/api"


class PlanConflictError(ValueError):
    """The name is taken by another plan."""


class Written(NamedTuple):
    """The plan as it stands in the log, and whether it is new there."""

    plan: RolloutPlan
    is_new: bool


class PlanWriter:
    """Compares with the topic itself, not with the views, which may be a moment behind."""

    def __init__(self, log: Log, projection: Projection, hub: Hub, telemetry: Telemetry) -> None:
        self._log, self._projection, self._hub, self._telemetry = log, projection, hub, telemetry
        self._writing = asyncio.Lock()

    async def create(self, plan: RolloutPlan, trace: str | None) -> Written:
        """Write a new plan; an equal one that exists is returned. Raises PlanConflictError, LogUnavailableError."""
        async with self._writing:
            existing = await self._existing(plan.rollout)
            if existing is None:
                await self._append(plan, trace)
                return Written(plan, is_new=True)
        if existing.tenant != plan.tenant:
            # The topic's key is the rollout's name alone: it must not be written over another tenant's plan.
            raise PlanConflictError(f"the name {plan.rollout!r} is taken: choose another")
        if not same_content(existing, plan):
            raise PlanConflictError(f"rollout {plan.rollout!r} exists with other content: choose another name")
        self._show(existing)
        return Written(existing, is_new=False)

    async def change(
        self, tenant: str, rollout: str, change: Callable[[RolloutPlan], RolloutPlan], trace: str | None
    ) -> Written | None:
        """Write a tenant's plan as `change` has it, unless that is what it is; None when there is none.

        Raises what `change` raises, and LogUnavailableError.
        """
        async with self._writing:
            existing = await self._existing(rollout)
            if existing is None or existing.tenant != tenant:
                return None
            changed = change(existing)
            if changed != existing:
                await self._append(changed, trace)
        self._show(changed)
        return Written(changed, is_new=changed != existing)

    async def _existing(self, rollout: str) -> RolloutPlan | None:
        record = (await self._log.read_compacted(PLANS)).get(rollout.encode())
        return read_event(record, RolloutPlan) if record else None

    async def _append(self, plan: RolloutPlan, trace: str | None) -> None:
        with self._telemetry.span("api.plan", parent=trace, rollout=plan.rollout) as span:
            said = max([0, *(one.at for one in plan.approvals), *(one.at for one in plan.interventions)])
            event_id = f"{plan.rollout}:{plan.created}:{plan.state.value}:{said}"
            record = event_record(
                PLANS, plan.rollout, plan, event_id=event_id, source=SOURCE, time=plan.created, trace=span
            )
            await self._log.append([record])
        self._show(plan)

    def _show(self, plan: RolloutPlan) -> None:
        # Who wrote it sees it at once; the topic says the same a moment later.
        applied = self._projection.take_plan(plan)
        if applied.subject:
            self._hub.publish(applied.subject)
