"""Every verdict again, from the evidence that was recorded: the same numbers, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.policy import policy_hash
from analytics.rollouts.verdict import Said, verdict
from ingest.contract.events import Evidence, Verdict
from ingest.contract.records import read_event
from ingest.contract.topics import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingest.contract.events import RolloutPlan
    from ingest.contract.records import Record


class ReplayError(ValueError):
    """Evidence from which the verdict cannot be reproduced: the text says what is missing."""


def recorded_evidence(rollout: str, records: Iterable[Record]) -> list[Evidence]:
    """A rollout's rows in the order in which its gate took them; what was appended twice is taken once.

    Raises ReplayError when rows are missing (evidence is kept for a limited time).
    """
    prefix = f"{rollout}:evidence:"
    rows: dict[int, Evidence] = {}
    for record in records:
        number = (record.header("ce_id") or b"").decode("ascii", "replace").removeprefix(prefix)
        event = read_event(record, Evidence) if record.topic == EVIDENCE and number.isdigit() else None
        if event is not None and event.rollout == rollout:
            rows.setdefault(int(number), event)
    missing = next((number for number in range(len(rows)) if number not in rows), None)
    if missing is not None:
        raise ReplayError(f"{rollout}: evidence row {missing} is missing, {len(rows)} others were found")
    return [rows[number] for number in range(len(rows))]


def replay_gate(plan: RolloutPlan, evidence: Sequence[Evidence]) -> Gate:
    """The gate after this evidence, through the same `apply` that served production."""
    gate = new_gate(plan.guards, plan.alpha)
    gate.apply(evidence)
    return gate


def reproduce(plan: RolloutPlan, evidence: Sequence[Evidence], recorded: Verdict) -> Verdict:
    """The verdict that plan and evidence up to `recorded` lead to, with its watermark, input offsets, and what people said.

    Raises ReplayError when there is less evidence than the recorded verdict stands on.
    """
    rows = recorded.offsets.get("evidence", 0)
    if rows > len(evidence):
        raise ReplayError(f"{plan.rollout}: the verdict stands on {rows} rows of evidence, {len(evidence)} were found")
    gate = replay_gate(plan, evidence[:rows])
    said = Said(recorded.forced, recorded.people)
    return verdict(gate, plan, policy=policy_hash(plan), at=recorded.at, offsets=recorded.offsets, said=said)


def differences(recorded: Verdict, reproduced: Verdict) -> dict[str, tuple[object, object]]:
    """The fields in which two verdicts are not byte for byte alike: name to (recorded, reproduced)."""
    pairs = ((name, getattr(recorded, name), getattr(reproduced, name)) for name in Verdict.__struct_fields__)
    return {name: (a, b) for name, a, b in pairs if msgspec.json.encode(a) != msgspec.json.encode(b)}
