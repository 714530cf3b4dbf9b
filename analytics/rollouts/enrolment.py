"""The draws of a rollout: which devices are enrolled in which arm, site by site and stage by stage."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from analytics.rollback.actuator import Purpose, Target, command_id
from analytics.rollouts.assign import draw_arms, stratum_name
from analytics.rollouts.evidence import History
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.soaking import SETTLE_MS
from analytics.rollouts.staging import Member, draw_stage, over_budget
from ingest.contract.events import Arm, EvidenceKind, Installs, PlanState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from analytics.rollouts.assign import Candidate
    from analytics.rollouts.rollout import Rollout, Row
    from analytics.rollouts.staging import Drawn
    from ingest.contract.events import RolloutPlan


def enrols(rollout: Rollout, site: str, logged: int) -> bool:
    """Whether a site whose heartbeat the log took at `logged` (ms) is to be drawn now."""
    waited = logged >= rollout.accepted_at + _ms(rollout.plan.baseline_s)
    return _draws(rollout) and site not in rollout.drawn and waited


def may_have(plan: RolloutPlan, site: str) -> bool:
    """Whether a site may have devices for the plan, now or later."""
    return not plan.selection.sites or site in plan.selection.sites


def has_soaked(rollout: Rollout, site: str, watermark: int) -> bool:
    """Whether a site's stage is over at its watermark (ms), and another one follows; while the site is dark none is."""
    stage, at = rollout.stages.get(site, (0, 0))
    stages = rollout.plan.stages
    there = site in rollout.stages and site not in rollout.outages
    follows = _draws(rollout) and there and stage + 1 < len(stages)
    return follows and watermark >= at + _ms(stages[stage].soak_s)


def enrol(rollout: Rollout, site: str, at: int, candidates: Iterable[Candidate]) -> list[Row]:
    """Draw the arms of a site at its watermark `at` (ms): both arms' clocks start there."""
    plan = rollout.plan
    rollout.drawn[site], rollout.stages[site] = at, (0, at)
    drawn = draw_arms(candidates, rollout=plan.rollout, seed=plan.seed, share=plan.first_share())
    fresh = [History(site=site, device=a.candidate.device, stratum=a.stratum, arm=a.arm, enrolled_at=at) for a in drawn]
    rows = [begin(rollout, history) for history in fresh]
    rollout.soaking.forget_strangers(site, rollout.histories)
    return rollout.take(rows)


def enter_stage(
    rollout: Rollout, site: str, at: int, candidates: Iterable[Candidate], moved: Collection[str]
) -> list[Row]:
    """Draw a site's next stage at its watermark `at` (ms) among its controls and who is new there.

    A control that is drawn leaves its wave at `at` and is enrolled in the new one a millisecond later. Devices in `moved` run
    something else meanwhile, and stay what they are.
    """
    stage = rollout.stages[site][0] + 1
    rollout.stages[site] = (stage, at)
    mine = [h for h in rollout.histories.values() if h.site == site and not h.left]
    pool = [Member(site, h.device, h.stratum) for h in mine if h.arm is Arm.CONTROL and h.device not in moved]
    new = (Member(site, c.device, stratum_name(c)) for c in candidates)
    pool += [member for member in new if member.key() not in rollout.histories]
    drawn = draw_stage(rollout.plan, stage, pool, Counter(h.stratum for h in mine if h.arm is Arm.CANARY))
    left = [rollout.histories[d.member.key()] for d in drawn if d.member.key() in rollout.histories]
    why = f"drawn for stage {stage + 1}"
    rows = [rollout.row(h, EvidenceKind.CENSORED, at, rollout.trace, why) for h in left]
    rows += [begin(rollout, _history(d, at + 1, str(stage + 1))) for d in drawn]
    return rollout.take(rows)


def begin(rollout: Rollout, history: History) -> Row:
    """A device is enrolled, or begins anew; its row of evidence, which is not taken yet."""
    rollout.histories[history.key()] = history
    _begin_soak(rollout, history, history.enrolled_at)
    return rollout.row(history, EvidenceKind.ENROLLED, history.enrolled_at, rollout.trace)


def command_canaries(rollout: Rollout, site: str) -> list[History]:
    """The canaries of a site that have none yet, each now with the name of its install command (which nobody sends to `elsewhere`)."""
    ours = (h for h in rollout.histories.values() if h.site == site and h.arm is Arm.CANARY)
    canaries = [history for history in ours if not history.command]
    for history in canaries:
        target = Target(history.site, history.device)
        history.command = command_id(rollout.plan.rollout, Purpose.INSTALL, target)
        history.elsewhere = rollout.plan.installs is Installs.EXTERNAL
    return canaries


def _draws(rollout: Rollout) -> bool:
    running = rollout.plan.state is PlanState.RUNNING and rollout.takes_evidence()
    return running and not over_budget(rollout.plan, rollout.gate)


def _begin_soak(rollout: Rollout, history: History, at: int) -> None:
    # Both arms soak over the same span: a control has nothing to install, and waits as long.
    if rollout.soaking.statistics:
        start = at + _ms(rollout.plan.install_grace_s)
        end = start + _ms(rollout.plan.soak_s)
        rollout.soaking.begin(history.key(), start, end)
        rollout.put_off(Fact(end + SETTLE_MS, FactKind.SOAK_OVER, history.site, history.device, trace=rollout.trace))


def _history(drawn: Drawn, at: int, wave: str) -> History:
    site, device, stratum = drawn.member
    return History(site=site, device=device, stratum=stratum, arm=drawn.arm, enrolled_at=at, wave=wave)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
