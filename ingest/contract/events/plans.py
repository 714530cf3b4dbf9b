"""What is being rolled out to whom: topic `rollout.plans.v1`."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class GuardKind(StrEnum):
    """What a guard watches."""

    CRASH = "crash"  # first crash or reboot since enrolment
    SILENCE = "silence"  # first lease that ran out since enrolment
    SOAK = "soak"  # a device's statistic after its soak: a latency, a gauge
    SHARE = "share"  # the same for shares between 0 and 1
    COUNT = "count"  # the same for counts
    ALARM = "alarm"  # first alarm of a detector since enrolment
    UPDATE = "update"  # canaries whose update failed or was refused


OF_FIRST_EVENTS = frozenset({GuardKind.CRASH, GuardKind.SILENCE, GuardKind.ALARM})
"""The guards of a device's first event."""

OF_SOAKS = frozenset({GuardKind.SOAK, GuardKind.SHARE, GuardKind.COUNT})
"""The guards of a statistic of its soak."""


class Worse(StrEnum):
    """Which values of a soaked metric are the worse ones."""

    HIGHER = "higher"
    LOWER = "lower"
    DIFFERENT = "different"  # both: never shown to be harmless


class Scale(StrEnum):
    """How values of a guard of kind soak are compared."""

    RATIO = "ratio"  # by their logarithms: values must be positive
    DIFFERENCE = "difference"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a release may do harm.

    `margin` is what is tolerable. Crash, silence and alarm: the marginal hazard ratio of first events. Update: the share of updates
    that may fail. Soak: by which factor
    (scale ratio) or by how much (scale difference) a value may be worse. Share: by how much it may be worse. Count: by how
    much more probable it may be that the canary of a pair is the worse one. `metric` is what kinds soak, share and count are
    of; empty stands for the guard's name. Kind soak is of a device's mean, or of the quantile at `quantile` (between 0 and 1).
    """

    name: str
    kind: GuardKind
    weight: float = 1.0
    margin: float = 1.5
    metric: str = ""
    worse: Worse = Worse.HIGHER
    scale: Scale = Scale.RATIO
    quantile: float | None = None

    def statistic(self) -> str:
        """What evidence calls the statistic of kinds soak, share and count: the metric, with `:p95` for a quantile at 0.95."""
        metric = self.metric or self.name
        return metric if self.quantile is None else f"{metric}:p{100.0 * self.quantile:g}"


def margin_range(guard: Guard) -> tuple[float, float]:
    """Between which bounds a margin of this guard means something; both are excluded."""
    if guard.kind in (GuardKind.SHARE, GuardKind.COUNT, GuardKind.UPDATE):
        return 0.0, 1.0
    by_difference = guard.kind is GuardKind.SOAK and guard.scale is Scale.DIFFERENCE
    return (0.0 if by_difference else 1.0), math.inf


def bad_quantile(guard: Guard, guards: Iterable[Guard]) -> str:
    """What is wrong with a guard's quantile, or with its statistic's name among these guards'; empty when nothing is."""
    if guard.quantile is not None and not (guard.kind is GuardKind.SOAK and 0.0 < guard.quantile < 1.0):
        return "expected a number between 0 and 1, for the kind 'soak' only"
    others = (one for one in guards if one.kind in OF_SOAKS and one.statistic() == guard.statistic())
    # Evidence tells statistics apart by their names alone.
    mixed = guard.kind in OF_SOAKS and any(
        (one.kind is GuardKind.COUNT, one.quantile) != (guard.kind is GuardKind.COUNT, guard.quantile) for one in others
    )
    return "another guard takes another statistic that has this one's name" if mixed else ""


class PlanState(StrEnum):
    """Whether a rollout is under way."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class RollbackMode(StrEnum):
    """What a `fail` leads to."""

    OBSERVE = "observe"
    APPROVE = "approve"  # a rollback, once two people have said so
    AUTOMATIC = "automatic"


class Installs(StrEnum):
    """Who gives the release to the canaries."""

    COMMANDS = "commands"  # the gate itself, by signed commands
    EXTERNAL = "external"  # another system, which is driven by the assignment


TWO = 2
"""People, where one is not enough."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices a rollout is for; an empty list selects all. `percent`: of those, the share that a hash of each picks.

    A device is selected when each list that is not empty has its site, hardware, group, firmware, and one of its tags.
    """

    sites: list[str] = []
    hardware: list[str] = []
    groups: list[str] = []
    firmware: list[str] = []
    tags: list[str] = []
    percent: float = 100.0


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a rollout: `share` of each stratum's devices have the release, and `soak_s` pass before the next one."""

    share: float
    soak_s: float = 3600.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The blast radius: when so many canaries, or such a share of them, are harmed, nobody else gets the release (0: no limit)."""

    devices: int = 0
    share: float = 0.0


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """`by` (a token's name) approved the rollback at `at` (ms) and said why."""

    by: str
    at: int
    reason: str


class Verb(StrEnum):
    """What people may do to a rollout."""

    PAUSE = "pause"  # nobody else gets the release
    RESUME = "resume"
    ABORT = "abort"  # whatever the gate says: the verdict is fail, and who has the release goes back
    OVERRIDE = "override"  # whatever the gate says: the verdict is pass, and nobody goes back


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """`by` (a token's name) asked for `verb` at `at` (ms) and said why."""

    verb: Verb
    by: str
    at: int
    reason: str


class ActuatorRef(msgspec.Struct, frozen=True, kw_only=True):
    """A system that owns the rollout, by the name that the gate's configuration gives it, and what there is to go back."""

    actuator: str
    object: dict[str, str] = {}


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `rollout.plans.v1`, key rollout: what is being rolled out to whom, and its guards.

    Digests are `sha256:<hex>` of the images; `canary_share` is the probability of the canary arm;
    `install_grace_s` is how long an update may keep a device silent without that being evidence; when all of a site's devices, in both
    arms, fall silent within `outage_s` of each other, that is the site's doing (0: never). Where a guard is on a soaked
    metric: devices of both arms soak for `soak_s` from the end of the grace on, and the draw waits for `baseline_s`, in which each
    device's own past is measured (0: no past). `reason` is why somebody changed its state last.

    With `stages` the release goes to more and more devices, site by site as event time there advances: the first stage's share
    takes the place of `canary_share`, and `hold_out` of each stratum's devices stay controls to the end.

    With `installs` external nobody is commanded to install: canaries come with the release when another system has brought it. The
    way back is then the `actuators`' alone, unless `rollback_commands` says that devices are commanded (None: as with installs).
    """

    rollout: str
    tenant: str
    release: str
    previous_release: str
    release_digest: str
    previous_digest: str
    created: int
    guards: list[Guard]
    selection: Selection = msgspec.field(default_factory=Selection)
    canary_share: float = 0.5
    stages: list[Stage] = []
    hold_out: float = 0.05
    budget: Budget = msgspec.field(default_factory=Budget)
    alpha: float = 0.05
    mode: RollbackMode = RollbackMode.OBSERVE
    state: PlanState = PlanState.RUNNING
    seed: int = 0
    install_grace_s: float = 300.0
    outage_s: float = 120.0
    command_expiry_s: float = 86_400.0
    soak_s: float = 3600.0
    baseline_s: float = 0.0
    installs: Installs = Installs.COMMANDS
    rollback_commands: bool | None = None
    actuators: list[ActuatorRef] = []
    approvals: list[Approval] = []
    interventions: list[Intervention] = []
    reason: str = ""
    created_by: str = ""

    def agree(self, verb: Verb, since: int) -> bool:
        """Whether enough people have asked for it since `since` (ms): two in mode automatic, one otherwise."""
        people = {one.by for one in self.interventions if one.verb is verb and one.at >= since}
        return len(people) >= (TWO if self.mode is RollbackMode.AUTOMATIC else 1)

    def commands_rollback(self) -> bool:
        """Whether devices are commanded to go back; else only who owns the rollout is told."""
        return self.installs is Installs.COMMANDS if self.rollback_commands is None else self.rollback_commands

    def first_share(self) -> float:
        """The probability of the canary arm in a site's first draw."""
        return min(self.stages[0].share, 1.0 - self.hold_out) if self.stages else self.canary_share
