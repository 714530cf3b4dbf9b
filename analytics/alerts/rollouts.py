"""Which rollouts have failed, and which of them are over: verdicts, rollbacks and plans come in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules
from ingest.contract.events import Outcome, PlanState, RollbackPhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.alerts.condition import Condition
    from ingest.contract.events import RollbackStatus, RolloutPlan, Verdict


class Standing(msgspec.Struct):
    """`since`: from when on its gate says fail (the verdict's own time, ms), 0 before; `over`: it harms nobody any more."""

    since: int = 0
    over: bool = False


class Rollouts:
    """One alert for each failure; a verdict stays `fail` for ever, the alarm does not."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}

    def judged(self, verdict: Verdict, trace: str) -> Iterator[Condition]:
        """The gate has spoken."""
        if verdict.verdict is not Outcome.FAIL:
            return  # a fail is final: anything else is either before it, or an old record come again
        standing = self.standings.setdefault(f"{verdict.tenant}/{verdict.rollout}", Standing())
        is_news = verdict.since > standing.since
        if is_news and standing.since:
            standing.over = False  # another rollout of the same name
        if is_news or not standing.over:
            standing.since = max(standing.since, verdict.since)
            yield rules.rollout_failed(verdict, trace)
            if standing.over:  # its end was read first: people hear of both
                yield rules.rollout_over(verdict.tenant, verdict.rollout, trace)

    def rolled_back(self, status: RollbackStatus, trace: str) -> Iterator[Condition]:
        """A rollback has come so far."""
        if status.phase is RollbackPhase.COMPLETE:
            yield self._over(status.tenant, status.rollout, trace)

    def planned(self, plan: RolloutPlan, trace: str) -> Iterator[Condition]:
        """A plan was made or changed: who ends a rollout knows about it."""
        name = f"{plan.tenant}/{plan.rollout}"
        if plan.state is PlanState.ENDED:
            yield self._over(plan.tenant, plan.rollout, trace)
        elif name in self.standings and not self.standings[name].since:
            del self.standings[name]  # a new rollout under the name of one that ended well

    def _over(self, tenant: str, rollout: str, trace: str) -> Condition:
        self.standings.setdefault(f"{tenant}/{rollout}", Standing()).over = True
        return rules.rollout_over(tenant, rollout, trace)
