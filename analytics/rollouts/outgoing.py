"""What the gate writes, as records; ids are equal when the same is written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.contract.records import dead_letter, event_record
from ingest.contract.topics import EVIDENCE, ROLLBACKS, VERDICTS, dead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.rollouts.policy import PlanRejection
    from analytics.rollouts.rollout import Row
    from ingest.contract.events import RollbackStatus, Verdict
    from ingest.contract.records import Outgoing, Record

SOURCE = "tidegate/gate"


def evidence_records(rollout: str, rows: Sequence[Row], first: int) -> list[Outgoing]:
    """Evidence rows, numbered from `first`: the order in which the gate took them."""
    return [
        event_record(
            EVIDENCE,
            rollout,
            row.evidence,
            event_id=f"{rollout}:evidence:{first + index}",
            source=SOURCE,
            time=row.evidence.at,
            trace=row.trace or None,
        )
        for index, row in enumerate(rows)
    ]


def verdict_record(verdict: Verdict, number: int, now: int, trace: str) -> Outgoing:
    """The `number`-th verdict of its rollout."""
    return event_record(
        VERDICTS,
        verdict.rollout,
        verdict,
        event_id=f"{verdict.rollout}:verdict:{number}",
        source=SOURCE,
        time=now,
        trace=trace or None,
    )


def status_record(status: RollbackStatus, number: int, trace: str) -> Outgoing:
    """The `number`-th status of a rollback."""
    return event_record(
        ROLLBACKS,
        status.rollout,
        status,
        event_id=f"{status.rollout}:rollback:{number}",
        source=SOURCE,
        time=status.at,
        trace=trace or None,
    )


def dead_plan(record: Record, reason: PlanRejection) -> Outgoing:
    """A plan that cannot be taken."""
    return dead_letter(record, reason.value, "see docs/gate.md", dead(record.topic))
