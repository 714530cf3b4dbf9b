"""What people decide about a rollout: whether enough of them agree, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.rollouts.verdict import Said
from ingest.contract.events import Verb

if TYPE_CHECKING:
    from ingest.contract.events import RolloutPlan


def heed(plan: RolloutPlan, before: Said, since: int) -> Said:
    """What holds after a plan came in: the newest of abort and override on which enough people have agreed since `since` (ms).

    What was agreed on once holds until people agree on the other one.
    """
    agreed = [verb for verb in (Verb.ABORT, Verb.OVERRIDE) if plan.agree(verb, since)]
    newest = max(agreed, key=lambda verb: max(one.at for one in plan.interventions if one.verb is verb), default=None)
    people = [f"{one.by} says {one.verb.value}: {one.reason}" for one in plan.interventions]
    people += [f"{one.by} approves the rollback: {one.reason}" for one in plan.approvals]
    return Said(newest.value if newest else before.forced, people)
