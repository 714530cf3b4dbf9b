"""A rollout plan as people send it: every mistake named with its path, before anything is written."""

from __future__ import annotations

import difflib
import re

import msgspec

from dashboards.api.plan_mistakes import Mistake, mistakes_of
from ingest.contract.events import (
    ActuatorRef,
    Budget,
    Guard,
    Installs,
    PlanState,
    RollbackMode,
    RolloutPlan,
    Selection,
    Stage,
)

_AT = re.compile(r" - at `(?P<path>[^`]+)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`")


class NewGuard(Guard, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A guard whose misspelt fields are refused."""


class NewSelection(Selection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A selection whose misspelt fields are refused."""


class NewActuatorRef(ActuatorRef, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner of the rollout whose misspelt fields are refused."""


class NewStage(Stage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage whose misspelt fields are refused."""


class NewBudget(Budget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A blast radius whose misspelt fields are refused."""


class NewRollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout plan as it is asked for: author and time come from the request itself.

    `tenant` may be left out; it is the token's and no other. `state` is there for plans read back from the API.
    Digests are `sha256:<hex>` of the images; `canary_share` is the probability of the canary arm;
    `install_grace_s` is how long an update may keep a device silent without that being evidence, `outage_s` within how long of
    each other all of a site's devices fall silent when that is the site's doing, `soak_s` how long devices soak
    after it, `baseline_s` for how long their own past is measured before the draw. `stages` give the release to more and more
    devices, all but `hold_out`; then `canary_share` is not used. `budget` ends that before it harms too many.
    With `installs` external another system brings the release, and the way back is the `actuators`' alone, unless `rollback_commands`.
    """

    rollout: str
    tenant: str = ""
    release: str
    previous_release: str
    release_digest: str
    previous_digest: str
    guards: list[NewGuard]
    selection: NewSelection = msgspec.field(default_factory=NewSelection)
    canary_share: float = 0.5
    stages: list[NewStage] = []
    hold_out: float = 0.05
    budget: NewBudget = msgspec.field(default_factory=NewBudget)
    alpha: float = 0.05
    mode: RollbackMode = RollbackMode.OBSERVE
    seed: int = 0
    install_grace_s: float = 300.0
    outage_s: float = 120.0
    command_expiry_s: float = 86_400.0
    soak_s: float = 3600.0
    baseline_s: float = 0.0
    installs: Installs = Installs.COMMANDS
    rollback_commands: bool | None = None
    actuators: list[NewActuatorRef] = []
    state: PlanState = PlanState.RUNNING


NESTED = (NewRollout, NewGuard, NewSelection, NewStage, NewBudget, NewActuatorRef)


class BadPlanError(ValueError):
    """A body that is no valid plan. `malformed`: it is not even JSON."""

    def __init__(self, mistakes: list[Mistake], *, malformed: bool = False) -> None:
        super().__init__("; ".join(f"{m.path}: {m.message}" for m in mistakes))
        self.mistakes = mistakes
        self.malformed = malformed


def read_plan(body: bytes, tenant: str) -> NewRollout:
    """A plan of this tenant from JSON. Raises BadPlanError with every mistake (the first only, while the form itself is wrong)."""
    try:
        plan = msgspec.json.decode(body, type=NewRollout)
    except msgspec.ValidationError as error:
        raise BadPlanError([_mistake(str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPlanError([Mistake("$", str(error))], malformed=True) from error
    mistakes = list(mistakes_of(plan, tenant))
    if mistakes:
        raise BadPlanError(mistakes)
    return plan


def to_plan(asked: NewRollout, *, tenant: str, created: int, created_by: str) -> RolloutPlan:
    """The record that is written."""
    fields = msgspec.structs.asdict(asked)
    fields["guards"] = [Guard(**msgspec.structs.asdict(guard)) for guard in asked.guards]
    fields["selection"] = Selection(**msgspec.structs.asdict(asked.selection))
    fields["stages"] = [Stage(**msgspec.structs.asdict(stage)) for stage in asked.stages]
    fields["budget"] = Budget(**msgspec.structs.asdict(asked.budget))
    fields["actuators"] = [ActuatorRef(**msgspec.structs.asdict(owner)) for owner in asked.actuators]
    return RolloutPlan(**fields | {"tenant": tenant, "created": created, "created_by": created_by})


def same_content(existing: RolloutPlan, wanted: RolloutPlan) -> bool:
    """Whether two plans differ in nothing but when, by whom and in which state, and what people did since."""
    like = msgspec.structs.replace(
        wanted,
        created=existing.created,
        created_by=existing.created_by,
        state=existing.state,
        approvals=existing.approvals,
        interventions=existing.interventions,
        reason=existing.reason,
    )
    return like == existing


def _mistake(message: str) -> Mistake:
    found = _AT.search(message)
    path = found.group("path") if found else "$"
    text = message[: found.start()] if found else message
    return Mistake(path, text + _suggestion(text))


def _suggestion(text: str) -> str:
    unknown = _UNKNOWN.search(text)
    if unknown is None:
        return ""
    fields = [f for kind in NESTED for f in kind.__struct_fields__]
    close = difflib.get_close_matches(unknown.group("field"), fields, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
