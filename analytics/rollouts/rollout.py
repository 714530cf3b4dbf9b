"""One rollout's life: the draw, the evidence in order of time, the gate, and what is remembered of each device."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from analytics.rollback.actuator import Purpose, Target, command_id
from analytics.rollback.tracker import Tracker
from analytics.rollouts.assign import draw_arms, stratum_name
from analytics.rollouts.evidence import History, is_overdue, observe, would_count
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.gate import Gate, new_gate
from analytics.rollouts.policy import policy_hash
from analytics.rollouts.roster import new_roster
from analytics.rollouts.soaking import SETTLE_MS, Soaking
from analytics.rollouts.staging import Member, draw_stage, over_budget
from analytics.rollouts.verdict import NOTHING_SAID, Said, verdict
from ingest.contract.events import (
    Arm,
    Evidence,
    EvidenceKind,
    Outcome,
    PlanState,
    RollbackStatus,
    RolloutPlan,
    Verb,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from analytics.rollouts.assign import Candidate
    from analytics.rollouts.staging import Drawn


class Row(NamedTuple):
    """A row of evidence and the trace of what led to it."""

    evidence: Evidence
    trace: str


class Rollout(msgspec.Struct, kw_only=True):
    """All that is known of one rollout.

    `accepted_at` (ms) is when the log took the plan, `drawn` the watermark (ms) of each site's first draw, `stages` each site's
    stage (0 is the first) with the watermark of its draw,
    `deadlines` per site a heap of when the graces of its silent devices end, `soaks_due` per site one of when its devices' soaks
    are told, `written` and
    `written_at` the last verdict and when it was written, `pending` that something may have changed since,
    `ended_at` when the plan ended, `said` what people decided,
    `fail_told_at` when the verdict became a fail (the centre's ms).
    """

    plan: RolloutPlan
    policy: str
    accepted_at: int
    trace: str
    gate: Gate
    histories: dict[str, History] = {}
    drawn: dict[str, int] = {}
    stages: dict[str, tuple[int, int]] = {}
    deadlines: dict[str, list[tuple[int, str]]] = {}
    verdicts: int = 0
    written: Verdict | None = None
    written_at: int = 0
    pending: bool = True
    ended_at: int = 0
    soaking: Soaking
    soaks_due: dict[str, list[tuple[int, str]]] = {}
    tracker: Tracker | None = None
    status: RollbackStatus | None = None
    statuses: int = 0
    said: Said = NOTHING_SAID
    fail_told_at: int = 0

    def takes_evidence(self) -> bool:
        """Whether what happens to its devices still says anything about the release."""
        is_over = self.ended_at or self.said.forced == Verb.ABORT
        return self.gate.outcome is not Outcome.FAIL and not is_over

    def enrols(self, site: str, logged: int) -> bool:
        """Whether a site whose heartbeat the log took at `logged` (ms) is to be drawn now."""
        waited = logged >= self.accepted_at + _ms(self.plan.baseline_s)
        return self._draws() and site not in self.drawn and waited

    def has_soaked(self, site: str, watermark: int) -> bool:
        """Whether a site's stage is over at its watermark (ms), and another one follows."""
        stage, at = self.stages.get(site, (0, 0))
        is_last = stage + 1 >= len(self.plan.stages)
        return (
            self._draws()
            and site in self.stages
            and not is_last
            and watermark >= at + _ms(self.plan.stages[stage].soak_s)
        )

    def _draws(self) -> bool:
        running = self.plan.state is PlanState.RUNNING and self.takes_evidence()
        return running and not over_budget(self.plan, self.gate)

    def wants_windows(self) -> bool:
        """Whether rollup windows are still of interest to a guard."""
        return bool(self.soaking.metrics) and self.takes_evidence()

    def enrol(self, site: str, at: int, candidates: Iterable[Candidate]) -> list[Row]:
        """Draw the arms of a site at its watermark `at` (ms): both arms' clocks start there."""
        self.drawn[site], self.stages[site] = at, (0, at)
        drawn = draw_arms(candidates, rollout=self.plan.rollout, seed=self.plan.seed, share=self.plan.first_share())
        fresh = [
            History(site=site, device=a.candidate.device, stratum=a.stratum, arm=a.arm, enrolled_at=at) for a in drawn
        ]
        rows = [self._begin(history) for history in fresh]
        self.soaking.forget_strangers(site, self.histories)
        return self._take(rows)

    def enter_stage(self, site: str, at: int, candidates: Iterable[Candidate], moved: Collection[str]) -> list[Row]:
        """Draw a site's next stage at its watermark `at` (ms) among its controls and who is new there.

        A control that is drawn leaves its wave at `at` and is enrolled in the new one a millisecond later. Devices in `moved` run
        something else meanwhile, and stay what they are.
        """
        stage = self.stages[site][0] + 1
        self.stages[site] = (stage, at)
        mine = [h for h in self.histories.values() if h.site == site and not h.left]
        pool = [Member(site, h.device, h.stratum) for h in mine if h.arm is Arm.CONTROL and h.device not in moved]
        new = (Member(site, c.device, stratum_name(c)) for c in candidates)
        pool += [member for member in new if member.key() not in self.histories]
        drawn = draw_stage(self.plan, stage, pool, Counter(h.stratum for h in mine if h.arm is Arm.CANARY))
        left = [self.histories[d.member.key()] for d in drawn if d.member.key() in self.histories]
        rows = [self._row(h, EvidenceKind.CENSORED, at, self.trace, f"drawn for stage {stage + 1}") for h in left]
        rows += [self._begin(_history(d, at + 1, str(stage + 1))) for d in drawn]
        return self._take(rows)

    def _begin(self, history: History) -> Row:
        self.histories[history.key()] = history
        self._begin_soak(history, history.enrolled_at)
        return self._row(history, EvidenceKind.ENROLLED, history.enrolled_at, self.trace)

    def command_canaries(self, site: str) -> list[History]:
        """The canaries of a site that have none yet, each now with the name of its install command."""
        ours = (h for h in self.histories.values() if h.site == site and h.arm is Arm.CANARY)
        canaries = [history for history in ours if not history.command]
        for history in canaries:
            target = Target(history.site, history.device)
            history.command = command_id(self.plan.rollout, Purpose.INSTALL, target)
        return canaries

    def observe(self, site: str, facts: Sequence[Fact], watermark: int) -> list[Row]:
        """Take a site's facts up to its watermark (ms), in order; the rows of evidence that the gate took."""
        queue = [fact for fact in facts if f"{fact.site}/{fact.device}" in self.histories]
        queue += self._due(site, watermark) + self._soaks_over(site, watermark)
        heapq.heapify(queue)
        rows = []
        while queue:
            fact = heapq.heappop(queue)
            rows += self._observe(fact)
            for due in self._due(site, watermark):
                heapq.heappush(queue, due)
        return self._take(sorted(rows, key=_order))

    def note_late(self, fact: Fact) -> list[Row]:
        """A fact from behind the watermark: listed when it would have counted."""
        history = self.histories.get(f"{fact.site}/{fact.device}")
        kind = would_count(history, fact) if history else None
        if history is None or kind is None:
            return []
        return self._take([self._row(history, EvidenceKind.LATE, fact.at, fact.trace, kind.value)])

    def end(self, watermarks: Mapping[str, int], now: int) -> list[Row]:
        """The plan ended: every device leaves, in both arms at the same instant of its site."""
        left = [history for history in self.histories.values() if not history.left]
        rows = [
            self._row(h, EvidenceKind.CENSORED, watermarks.get(h.site, h.enrolled_at), self.trace, "plan ended")
            for h in left
        ]
        taken = self._take(sorted(rows, key=_order))
        self.ended_at = now
        return taken

    def judge(self, watermarks: Mapping[str, int], offsets: Mapping[str, int]) -> Verdict:
        """The verdict now, at the lowest watermark of the sites drawn so far."""
        at = min((watermarks.get(site, drawn) for site, drawn in self.drawn.items()), default=self.plan.created)
        return verdict(self.gate, self.plan, policy=self.policy, at=at, offsets=offsets, said=self.said)

    def _observe(self, fact: Fact) -> list[Row]:
        history = self.histories[f"{fact.site}/{fact.device}"]
        if fact.kind is FactKind.SOAK_OVER:
            return self._soaked(history, fact.at)
        kind = observe(history, fact, _ms(self.plan.install_grace_s))
        if history.silent_in_grace and fact.kind is FactKind.SILENT:
            heapq.heappush(self.deadlines.setdefault(history.site, []), (history.grace_until, history.device))
        if kind is None:
            return []
        detail = (
            "silent since its install" if fact.kind is FactKind.GRACE_OVER else fact.reason or fact.kind.name.lower()
        )
        return [self._row(history, kind, fact.at, fact.trace, detail)]

    def _begin_soak(self, history: History, at: int) -> None:
        # Both arms soak over the same span: a control has nothing to install, and waits as long.
        if self.soaking.metrics:
            start = at + _ms(self.plan.install_grace_s)
            end = start + _ms(self.plan.soak_s)
            self.soaking.begin(history.key(), start, end)
            heapq.heappush(self.soaks_due.setdefault(history.site, []), (end + SETTLE_MS, history.device))

    def _soaks_over(self, site: str, watermark: int) -> list[Fact]:
        heap, facts = self.soaks_due.get(site, []), []
        while heap and heap[0][0] <= watermark:
            at, device = heapq.heappop(heap)
            facts.append(Fact(at, FactKind.SOAK_OVER, site, device, trace=self.trace))
        return facts

    def _soaked(self, history: History, at: int) -> list[Row]:
        # A soak that was broken off by a later stage is none.
        if not self.soaking.is_over(history.key(), at):
            return []
        # A device that left or fell silent has no soak: that it did is evidence of another kind.
        found = self.soaking.finish(history.key())
        if history.left or history.silent:
            return []
        return [self._soak_row(history, at, *one) for one in found]

    def _soak_row(self, history: History, at: int, metric: str, value: float, before: float | None) -> Row:
        row = self._row(history, EvidenceKind.SOAKED, at, self.trace)
        return row._replace(evidence=structs.replace(row.evidence, metric=metric, value=value, before=before))

    def _due(self, site: str, watermark: int) -> list[Fact]:
        # Graces of this site that have passed by the watermark in silence, as facts of their own.
        heap, facts = self.deadlines.get(site, []), []
        while heap and heap[0][0] <= watermark:
            at, device = heapq.heappop(heap)
            facts.append(Fact(at, FactKind.GRACE_OVER, site, device, trace=self.trace))
        return [fact for fact in facts if is_overdue(self.histories[f"{site}/{fact.device}"], fact)]

    def _take(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows[: self.gate.apply([row.evidence for row in rows])])

    def _row(self, history: History, kind: EvidenceKind, at: int, trace: str, detail: str = "") -> Row:
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
        soaking=Soaking(metrics=list(new_roster(plan.guards).metrics)),
    )


def _history(drawn: Drawn, at: int, wave: str) -> History:
    site, device, stratum = drawn.member
    return History(site=site, device=device, stratum=stratum, arm=drawn.arm, enrolled_at=at, wave=wave)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _order(row: Row) -> tuple[int, str, str, str, str]:
    # What happened at one instant in one stratum stands together: the gate takes it as one.
    return (row.evidence.at, row.evidence.stratum, row.evidence.kind.value, row.evidence.device, row.evidence.metric)
