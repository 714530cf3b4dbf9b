"""One rollout's life: its plan, the gate, its rows of evidence, and what is remembered of each device."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.rollback.tracker import Tracker
from analytics.rollouts.evidence import History, would_count
from analytics.rollouts.facts import Fact
from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.policy import policy_hash
from analytics.rollouts.soaking import Soaking
from analytics.rollouts.statistics import statistics_of
from analytics.rollouts.verdict import NOTHING_SAID, Said, verdict
from ingest.contract.events import Evidence, EvidenceKind, Outcome, RollbackStatus, RolloutPlan, Verb, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Row(NamedTuple):
    """A row of evidence and the trace of what led to it."""

    evidence: Evidence
    trace: str


class Rollout(msgspec.Struct, kw_only=True):
    """All that is known of one rollout.

    `accepted_at` (ms) is when the log took the plan, `drawn` the watermark (ms) of each site's first draw, `stages` each site's
    stage (0 is the first) with the watermark of its draw,
    `dues` per site a heap of what its event time alone will bring, `outages` the dark sites and when (ms) their devices are enrolled
    again (0: none was heard yet), `written` and `written_at` the last verdict and when it was written, `pending` that something may have changed
    since, `ended_at` when the plan ended, `said` what people decided, `fail_told_at` when the verdict became a fail (the centre's
    ms).
    """

    plan: RolloutPlan
    policy: str
    accepted_at: int
    trace: str
    gate: Gate
    histories: dict[str, History] = {}
    drawn: dict[str, int] = {}
    stages: dict[str, tuple[int, int]] = {}
    dues: dict[str, list[Fact]] = {}
    outages: dict[str, int] = {}
    verdicts: int = 0
    written: Verdict | None = None
    written_at: int = 0
    pending: bool = True
    ended_at: int = 0
    soaking: Soaking
    tracker: Tracker | None = None
    status: RollbackStatus | None = None
    statuses: int = 0
    said: Said = NOTHING_SAID
    fail_told_at: int = 0

    def takes_evidence(self) -> bool:
        """Whether what happens to its devices still says anything about the release."""
        is_over = self.ended_at or self.said.forced == Verb.ABORT
        return self.gate.outcome is not Outcome.FAIL and not is_over

    def wants_windows(self) -> bool:
        """Whether rollup windows are still of interest to a guard."""
        return bool(self.soaking.statistics) and self.takes_evidence()

    def put_off(self, fact: Fact) -> None:
        """A fact that its site's event time will bring."""
        heapq.heappush(self.dues.setdefault(fact.site, []), fact)

    def note_late(self, fact: Fact) -> list[Row]:
        """A fact from behind the watermark: listed when it would have counted."""
        history = self.histories.get(f"{fact.site}/{fact.device}")
        kind = would_count(history, fact) if history else None
        if history is None or kind is None:
            return []
        return self.take([self.row(history, EvidenceKind.LATE, fact.at, fact.trace, kind.value)])

    def end(self, watermarks: Mapping[str, int], now: int) -> list[Row]:
        """The plan ended: every device leaves, in both arms at the same instant of its site."""
        left = [history for history in self.histories.values() if not history.left]
        rows = [
            self.row(h, EvidenceKind.CENSORED, watermarks.get(h.site, h.enrolled_at), self.trace, "plan ended")
            for h in left
        ]
        taken = self.take(sorted(rows, key=order_of))
        self.ended_at = now
        return taken

    def judge(self, watermarks: Mapping[str, int], offsets: Mapping[str, int]) -> Verdict:
        """The verdict now, at the lowest watermark of the sites drawn so far."""
        at = min((watermarks.get(site, drawn) for site, drawn in self.drawn.items()), default=self.plan.created)
        return verdict(self.gate, self.plan, policy=self.policy, at=at, offsets=offsets, said=self.said)

    def take(self, rows: Sequence[Row]) -> list[Row]:
        """Let the gate take rows in order; those that it took: when it fails, it takes no more."""
        return list(rows[: self.gate.apply([row.evidence for row in rows])])

    def row(self, history: History, kind: EvidenceKind, at: int, trace: str, detail: str = "") -> Row:
        """A row of evidence of an enrolled device, which is not taken yet."""
        evidence = Evidence(
            rollout=self.plan.rollout,
            tenant=self.plan.tenant,
            device=history.device,
            site=history.site,
            stratum=history.stratum,
            arm=history.arm,
            kind=kind,
            at=at,
            detail=detail,
            wave=history.wave,
        )
        return Row(evidence, trace)


def new_rollout(plan: RolloutPlan, *, accepted_at: int, trace: str) -> Rollout:
    """A rollout that nobody is enrolled in."""
    return Rollout(
        plan=plan,
        policy=policy_hash(plan),
        accepted_at=accepted_at,
        trace=trace,
        gate=new_gate(plan.guards, plan.alpha),
        soaking=Soaking(statistics=statistics_of(plan.guards)),
    )


def order_of(row: Row) -> tuple[int, str, str, str, str]:
    """The order in which rows are taken: what happened at one instant in one stratum stands together, the gate takes it as one."""
    return (row.evidence.at, row.evidence.stratum, row.evidence.kind.value, row.evidence.device, row.evidence.metric)
