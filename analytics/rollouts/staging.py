"""The stages after the first: who is promoted from control to canary, who goes on as its control, and when that stops."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from analytics.rollouts.assign import hash_of
from ingest.contract.events import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analytics.rollouts.gate import Gate
    from ingest.contract.events import RolloutPlan


class Member(NamedTuple):
    """A device that a stage may take: a control so far, or one that is new."""

    site: str
    device: str
    stratum: str

    def key(self) -> str:
        """What names the device in its rollout."""
        return f"{self.site}/{self.device}"


class Drawn(NamedTuple):
    """A member with its arm in the stage's wave."""

    member: Member
    arm: Arm


def draw_stage(plan: RolloutPlan, stage: int, pool: Iterable[Member], canaries: Mapping[str, int]) -> list[Drawn]:
    """The wave of stage `stage` (1 is the second), sorted by stratum and device; who is not drawn stays what it is.

    `pool` are the controls and the new devices, `canaries` counts each stratum's canaries so far. In each stratum the first
    of the pool, in the order of the first draw's hash, become canaries until the stage's share of all is reached (at most
    what the hold-out leaves); of those that come next as many as keep old and new canaries equally well provided become the
    wave's controls. The order knows nothing of the devices, so the wave's arms are exchangeable, and whoever leaves an older wave
    leaves it by chance alone.
    """
    share = min(plan.stages[stage].share, 1.0 - plan.hold_out)
    strata: dict[str, list[Member]] = defaultdict(list)
    for member in pool:
        strata[member.stratum].append(member)
    drawn = []
    for stratum, members in sorted(strata.items()):
        order = sorted(members, key=lambda m: hash_of(plan.seed, plan.rollout, "device", m.site, m.device))
        before = canaries.get(stratum, 0)
        wanted = math.floor(share * (before + len(order)) + hash_of(plan.seed, plan.rollout, "stratum", stratum))
        promoted = max(0, min(len(order), wanted - before))
        controls = wave_controls(len(order) - promoted, promoted, before)
        drawn += [Drawn(m, Arm.CANARY) for m in order[:promoted]]
        drawn += [Drawn(m, Arm.CONTROL) for m in order[promoted : promoted + controls]]
    return sorted(drawn, key=lambda d: (d.member.stratum, d.member.device))


def wave_controls(left: int, promoted: int, before: int) -> int:
    """How many of a stratum's `left` controls go with its `promoted` canaries, when `before` were canaries already."""
    # Old canaries keep controls, too; a lone one goes with the newest wave.
    return max(1, round(left * promoted / (promoted + before))) if promoted and left else 0


def over_budget(plan: RolloutPlan, gate: Gate) -> str:
    """Why no further device gets the release: as many canaries are harmed as the plan allows. Empty: it may go on."""
    harmed, canaries = gate.cohort.harmed_canaries, gate.cohort.enrolled[0]
    most, share = plan.budget.devices, plan.budget.share
    if most and harmed >= most:
        return f"{harmed} canaries are harmed, the budget is {most}"
    if share and harmed and harmed >= share * canaries:
        return f"{harmed} of {canaries} canaries are harmed, the budget is {100 * share:g} %"
    return ""
