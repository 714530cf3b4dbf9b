"""What topics say of rollouts in the API's tests: plans, verdicts, rollbacks, the audit log."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.contract.events import (
    AuditEntry,
    Guard,
    GuardKind,
    GuardVerdict,
    Outcome,
    RollbackPhase,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.records import Outgoing
from ingest.contract.topics import AUDIT, PLANS, ROLLBACKS, VERDICTS
from tests.api_records import DIGEST, NOW, record


def plan(rollout: str = "fw-2.3.0", tenant: str = "acme", **fields: Any) -> RolloutPlan:
    known = {
        "release": "2.3.0",
        "previous_release": "2.2.0",
        "release_digest": DIGEST,
        "previous_digest": "sha256:" + "cd" * 32,
        "created": NOW,
        "guards": [Guard(name="crash", kind=GuardKind.CRASH), Guard(name="silence", kind=GuardKind.SILENCE)],
    }
    return RolloutPlan(rollout=rollout, tenant=tenant, **(known | fields))


def plan_body(rollout: str = "fw-2.3.0", **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(plan(rollout))
    for left_out in ("tenant", "created", "created_by", "state", "approvals", "interventions", "reason"):
        del body[left_out]
    return body | fields


def plan_record(*args: Any, **fields: Any) -> Outgoing:
    made = plan(*args, **fields)
    return record(PLANS, made.rollout, made)


def verdict(rollout: str = "fw-2.3.0", outcome: Outcome = Outcome.INCONCLUSIVE, **fields: Any) -> Verdict:
    known = {
        "tenant": "acme",
        "score": {Outcome.PASS: 100.0, Outcome.FAIL: 0.0}.get(outcome, 50.0),
        "e_value": 1.0,
        "log10_e": 0.0,
        "alpha": 0.05,
        "n_canary": 30,
        "n_control": 30,
        "reason": "because",
        "at": NOW,
        "since": NOW,
        "guards": [
            GuardVerdict(
                name="crash",
                kind=GuardKind.CRASH,
                log10_e_harm=0.5,
                log10_e_safe=-0.5,
                events_canary=3,
                events_control=1,
            )
        ],
        "policy_hash": "p",
        "offsets": {},
    }
    return Verdict(rollout=rollout, verdict=outcome, **(known | fields))


def verdict_record(*args: Any, **fields: Any) -> Outgoing:
    made = verdict(*args, **fields)
    return record(VERDICTS, made.rollout, made)


def rollback_record(rollout: str = "fw-2.3.0", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "phase": RollbackPhase.COMMANDED,
        "decided_at": NOW,
        "at": NOW,
        "commanded": ["north/a", "north/b", "north/c"],
        "done": ["north/a"],
        "recovered": [],
        "unreachable": ["north/c"],
    }
    return record(ROLLBACKS, rollout, RollbackStatus(rollout=rollout, tenant=tenant, **(known | fields)))


def audit_record(seq: int = 0, tenant: str = "acme", rollout: str = "fw-2.3.0", **fields: Any) -> Outgoing:
    known = {"at": NOW + seq, "kind": "plan", "who": f"{tenant}-all", "what": "created", "digest": "d", "previous": "p"}
    return record(AUDIT, str(seq), AuditEntry(seq=seq, tenant=tenant, rollout=rollout, **(known | fields)))
