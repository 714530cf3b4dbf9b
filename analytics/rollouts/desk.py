"""Where every rollout is kept: plans come in, evidence is recorded, verdicts go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollouts.arrays import decode_arrays, encode
from analytics.rollouts.enrolment import command_canaries, enrol, enrols, enter_stage, has_soaked, may_have
from analytics.rollouts.observing import observe_site
from analytics.rollouts.outgoing import dead_plan, evidence_records, verdict_record
from analytics.rollouts.people import heed
from analytics.rollouts.policy import PlanRejection, policy_hash, review
from analytics.rollouts.rollout import Rollout, new_rollout
from ingest.contract.events import Outcome, PlanState, RollbackPhase, Verdict
from ingest.contract.names import DEAD_LETTERS, GATE_E_VALUE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analytics.rollback.conduct import Conductor
    from analytics.rollouts.facts import Fact
    from analytics.rollouts.fleet import Fleet
    from analytics.rollouts.inbox import Taken
    from analytics.rollouts.rollout import Row
    from analytics.rollouts.timeline import Timeline
    from ingest.contract.batch import RollupBatch
    from ingest.contract.events import RolloutPlan
    from ingest.contract.records import Outgoing
    from ingest.runtime.telemetry import Telemetry

_ROLLOUT = msgspec.msgpack.Decoder(Rollout, dec_hook=decode_arrays)


class Desk:
    """The rollouts by name. What they lead to is collected until `collect` is called.

    `traces` holds, per rollout, the trace of what touched it last within the step under way.
    """

    def __init__(
        self,
        tenants: Collection[str],
        fleet: Fleet,
        conductor: Conductor,
        telemetry: Telemetry,
        *,
        verdict_ms: int,
        forget_ms: int,
        approval_ms: int,
    ) -> None:
        self._tenants, self._fleet, self._conductor, self._telemetry = tenants, fleet, conductor, telemetry
        self._verdict_ms, self._forget_ms, self._approval_ms = verdict_ms, forget_ms, approval_ms
        self._rollouts: dict[str, Rollout] = {}
        self._dirty: set[str] = set()
        self._outgoing: list[Outgoing] = []
        self._traces: dict[str, str] = {}

    def of(self, tenant: str) -> list[Rollout]:
        """A tenant's rollouts."""
        return [rollout for rollout in self._rollouts.values() if rollout.plan.tenant == tenant]

    def touch(self, rollout: Rollout, trace: str) -> None:
        """Something happened to a rollout."""
        rollout.pending = True
        self._dirty.add(rollout.plan.rollout)
        self._traces[rollout.plan.rollout] = trace or rollout.trace

    def take_plan(self, taken: Taken, plan: RolloutPlan | None, watermarks: Mapping[str, int], now: int) -> None:
        """A plan: begin it, change it, or make a dead letter of it with the reason."""
        known = self._rollouts.get(plan.rollout) if plan else None
        rejection = review(plan, known.plan if known else None, self._tenants) if plan else PlanRejection.MALFORMED
        if plan is None or rejection is not None:
            reason = rejection or PlanRejection.MALFORMED
            self._telemetry.count(DEAD_LETTERS, topic=taken.record.topic, reason=reason.value)
            self._outgoing.append(dead_plan(taken.record, reason))
        elif known is None:
            rollout = new_rollout(plan, accepted_at=taken.record.timestamp, trace=taken.trace)
            self._rollouts[plan.rollout] = rollout
            self.touch(rollout, taken.trace)
        else:
            self._change(known, plan, watermarks, taken.trace, now)

    def note_late(self, tenant: str, fact: Fact) -> None:
        """A fact from behind its site's watermark."""
        for rollout in self.of(tenant):
            if rollout.takes_evidence():
                self._record(rollout, rollout.note_late(fact))

    def soak(self, batch: RollupBatch) -> None:
        """Windows of a site: its devices soak, or their past is measured."""
        for rollout in self.of(batch.origin.tenant):
            if rollout.wants_windows():
                measure_past = batch.origin.site not in rollout.drawn and rollout.plan.baseline_s > 0
                rollout.soaking.add(batch, measure_past=measure_past)
                self._dirty.add(rollout.plan.rollout)

    def recover(self, batch: RollupBatch) -> None:
        """Windows of a site: devices that went back are compared with its controls."""
        for rollout in self.of(batch.origin.tenant):
            if rollout.tracker is not None and rollout.tracker.compares():
                rollout.tracker.recovery.add(batch)
                self._dirty.add(rollout.plan.rollout)

    def advance(self, place: str, timeline: Timeline, facts: Sequence[Fact], now: int) -> None:
        """A place's watermark rose past these facts: they become evidence, and its devices may be drawn."""
        tenant, _, site = place.partition("/")
        for rollout in self.of(tenant):
            if site in rollout.drawn and rollout.takes_evidence():
                self._dirty.add(rollout.plan.rollout)
                self._record(rollout, observe_site(rollout, site, facts, timeline.watermark))
            if not self._conductor.halted():
                self._draw(rollout, place, timeline, now)

    def collect(
        self, watermarks: Mapping[str, Mapping[str, int]], offsets: Mapping[str, int], now: int
    ) -> list[Outgoing]:
        """Judge what was touched, roll back what failed, and hand over everything to append."""
        for rollout in list(self._rollouts.values()):
            if rollout.pending:
                self._publish(rollout, watermarks.get(rollout.plan.tenant, {}), offsets, now)
            self._conduct(rollout, now)
            self._forget(rollout, now)
        outgoing, self._outgoing, self._traces = self._outgoing, [], {}
        return outgoing

    def snapshot(self) -> dict[str, bytes]:
        """The rollouts that changed since the last snapshot; empty when one is gone."""
        changed = {name: self._rollouts.get(name) for name in sorted(self._dirty)}
        self._dirty = set()
        return {name: encode(rollout) if rollout else b"" for name, rollout in changed.items()}

    def restore(self, name: str, part: bytes) -> None:
        """Continue with a rollout."""
        if part:
            self._rollouts[name] = _ROLLOUT.decode(part)

    def _draw(self, rollout: Rollout, place: str, timeline: Timeline, now: int) -> None:
        site, at = place.partition("/")[2], timeline.watermark
        is_first = enrols(rollout, site, timeline.logged)
        if not is_first and not has_soaked(rollout, site, at):
            return
        candidates = self._fleet.candidates(rollout.plan, place)
        if is_first and not candidates and may_have(rollout.plan, site):
            return  # its devices may not be back yet, and one stage draws once
        if is_first:
            rows = enrol(rollout, site, at, candidates)
        else:
            rows = enter_stage(rollout, site, at, candidates, self._fleet.moved(rollout.plan, place))
        self._record(rollout, rows)
        self._outgoing += self._conductor.install(rollout, command_canaries(rollout, site), now)
        self.touch(rollout, rollout.trace)

    def _change(self, rollout: Rollout, plan: RolloutPlan, watermarks: Mapping[str, int], trace: str, now: int) -> None:
        rollout.plan, rollout.policy = plan, policy_hash(plan)
        rollout.said = heed(plan, rollout.said, now - self._approval_ms)
        self.touch(rollout, trace)
        if plan.state is PlanState.ENDED and not rollout.ended_at:
            self._record(rollout, rollout.end(watermarks, now))

    def _record(self, rollout: Rollout, rows: Sequence[Row]) -> None:
        if rows:
            first = rollout.gate.rows - len(rows)
            self._outgoing += evidence_records(rollout.plan.rollout, rows, first)
            self.touch(rollout, rows[-1].trace)

    def _conduct(self, rollout: Rollout, now: int) -> None:
        trace = self._traces.get(rollout.plan.rollout, rollout.trace)
        outgoing = self._conductor.begin(rollout, now, trace)
        tracker = rollout.tracker
        if tracker and (tracker.phase is not RollbackPhase.COMPLETE or rollout.plan.rollout in self._traces):
            outgoing += self._conductor.follow(rollout, now, trace)
        if outgoing:
            self._outgoing += outgoing
            self._dirty.add(rollout.plan.rollout)

    def _publish(self, rollout: Rollout, watermarks: Mapping[str, int], offsets: Mapping[str, int], now: int) -> None:
        judged, last = rollout.judge(watermarks, offsets), rollout.written
        if last is not None and judged.verdict is last.verdict and judged.policy_hash == last.policy_hash:
            if _numbers(judged) == _numbers(last):
                rollout.pending = False
                return
            if now - rollout.written_at < self._verdict_ms:
                return
        rollout.written, rollout.written_at, rollout.pending = judged, now, False
        rollout.verdicts += 1
        if judged.verdict is Outcome.FAIL and (last is None or last.verdict is not Outcome.FAIL):
            rollout.fail_told_at = now
        self._dirty.add(judged.rollout)
        self._telemetry.gauge(GATE_E_VALUE, judged.log10_e, rollout=judged.rollout)
        trace = self._traces.get(judged.rollout, rollout.trace)
        self._outgoing.append(verdict_record(judged, rollout.verdicts, now, trace))

    def _forget(self, rollout: Rollout, now: int) -> None:
        if rollout.ended_at and now - rollout.ended_at > self._forget_ms:
            name = rollout.plan.rollout
            del self._rollouts[name]
            self._dirty.add(name)
            self._conductor.forget(name)


def _numbers(verdict: Verdict) -> Verdict:
    # What is left of a verdict when only time has passed.
    return msgspec.structs.replace(verdict, at=0, offsets={})
