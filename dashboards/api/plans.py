"""A rollout plan as people send it: every mistake named with its path, before anything is written."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import (
    ActuatorRef,
    Budget,
    Guard,
    PlanState,
    RollbackMode,
    RolloutPlan,
    Selection,
    Stage,
    margin_range,
)
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT = 128
MAX_LIST = 1000
MAX_GUARDS = 50
MAX_ALPHA = 0.5
LONGEST_S = 10 * 365 * 86_400.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
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
    `install_grace_s` is how long an update may keep a device silent without that being evidence, `soak_s` how long devices soak
    after it, `baseline_s` for how long their own past is measured before the draw. `stages` give the release to more and more
    devices, all but `hold_out`; then `canary_share` is not used. `budget` ends that before it harms too many.
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
    command_expiry_s: float = 86_400.0
    soak_s: float = 3600.0
    baseline_s: float = 0.0
    actuators: list[NewActuatorRef] = []
    state: PlanState = PlanState.RUNNING


NESTED = (NewRollout, NewGuard, NewSelection, NewStage, NewBudget, NewActuatorRef)


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (a JSON path), and what was found and expected."""

    path: str
    message: str


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
    mistakes = [*_standing_mistakes(plan, tenant), *_mistakes(plan)]
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


def _standing_mistakes(plan: NewRollout, tenant: str) -> Iterator[Mistake]:
    if plan.tenant not in ("", tenant):
        yield Mistake("$.tenant", f"found {plan.tenant[:64]!r}, expected {tenant!r}: the token's tenant")
    if plan.state is not PlanState.RUNNING:
        yield Mistake("$.state", f"found {plan.state.value!r}, expected 'running': that is how a rollout begins")


def _mistakes(plan: NewRollout) -> Iterator[Mistake]:
    if not is_name(plan.rollout):
        yield Mistake("$.rollout", f"found {plan.rollout[:64]!r}, expected letters, digits, _ . : @ or -")
    for field in ("release", "previous_release"):
        if not _is_text(getattr(plan, field)):
            yield Mistake(f"$.{field}", f"expected 1 to {MAX_TEXT} printable characters")
    if plan.release == plan.previous_release:
        yield Mistake("$.release", "equals previous_release: there would be nothing to go back to")
    for field in ("release_digest", "previous_digest"):
        if not _DIGEST.fullmatch(getattr(plan, field)):
            yield Mistake(f"$.{field}", "expected sha256: and 64 lower-case hexadecimal digits")
    yield from _number_mistakes(plan)
    yield from _stage_mistakes(plan)
    yield from _guard_mistakes(plan.guards)
    yield from _selection_mistakes(plan.selection)
    for index, owner in enumerate(plan.actuators):
        if not is_name(owner.actuator) or len(plan.actuators) > MAX_GUARDS:
            found = (
                f"found {owner.actuator[:64]!r}, expected a configured owner's name, and at most {MAX_GUARDS} of them"
            )
            yield Mistake(f"$.actuators[{index}].actuator", found)


def _number_mistakes(plan: NewRollout) -> Iterator[Mistake]:
    if not 0 < plan.alpha <= MAX_ALPHA:
        yield Mistake("$.alpha", f"found {plan.alpha}, expected above 0 and at most {MAX_ALPHA}")
    if not 0 < plan.canary_share < 1:
        yield Mistake("$.canary_share", f"found {plan.canary_share}, expected between 0 and 1, both arms need devices")
    if not 0 <= plan.install_grace_s < LONGEST_S:
        yield Mistake("$.install_grace_s", f"found {plan.install_grace_s}, expected seconds: 0 to ten years")
    if not 0 < plan.soak_s < LONGEST_S:
        yield Mistake("$.soak_s", f"found {plan.soak_s}, expected seconds: above 0, to ten years")
    if not 0 <= plan.baseline_s < LONGEST_S:
        yield Mistake("$.baseline_s", f"found {plan.baseline_s}, expected seconds: 0 to ten years")
    if not 0 < plan.command_expiry_s < LONGEST_S:
        yield Mistake("$.command_expiry_s", f"found {plan.command_expiry_s}, expected seconds: above 0, to ten years")


def _stage_mistakes(plan: NewRollout) -> Iterator[Mistake]:
    if len(plan.stages) > MAX_GUARDS:
        yield Mistake("$.stages", f"found {len(plan.stages)} stages, expected at most {MAX_GUARDS}")
    least = 0.0
    for index, stage in enumerate(plan.stages[:MAX_GUARDS]):
        if not least < stage.share <= 1:
            expected = (
                f"above {least:g}, which the stage before has, and at most 1" if least else "above 0 and at most 1"
            )
            yield Mistake(f"$.stages[{index}].share", f"found {stage.share}, expected {expected}")
        if not 0 <= stage.soak_s < LONGEST_S:
            yield Mistake(f"$.stages[{index}].soak_s", f"found {stage.soak_s}, expected seconds: 0 to ten years")
        least = max(least, stage.share)
    if not 0 <= plan.hold_out < 1:
        yield Mistake("$.hold_out", f"found {plan.hold_out}, expected at least 0 and below 1")
    if plan.budget.devices < 0:
        yield Mistake("$.budget.devices", f"found {plan.budget.devices}, expected 0 (no limit) or more")
    if not 0 <= plan.budget.share <= 1:
        yield Mistake("$.budget.share", f"found {plan.budget.share}, expected 0 (no limit) to 1")


def _guard_mistakes(guards: list[NewGuard]) -> Iterator[Mistake]:
    if not 1 <= len(guards) <= MAX_GUARDS:
        yield Mistake("$.guards", f"found {len(guards)} guards, expected 1 to {MAX_GUARDS}")
    names = [guard.name for guard in guards]
    for index, guard in enumerate(guards[:MAX_GUARDS]):
        at = f"$.guards[{index}]"
        if not is_name(guard.name) or names.index(guard.name) != index:
            yield Mistake(f"{at}.name", f"found {guard.name[:64]!r}, expected a name that no other guard has")
        if not 0 < guard.weight < math.inf:
            yield Mistake(f"{at}.weight", f"found {guard.weight}, expected more than 0")
        least, most = margin_range(guard)
        if not least < guard.margin < most:
            expected = f"above {least:g}" + (f" and below {most:g}" if most < math.inf else "")
            yield Mistake(
                f"{at}.margin", f"found {guard.margin}, expected {expected} for the kind {guard.kind.value!r}"
            )


def _selection_mistakes(selection: NewSelection) -> Iterator[Mistake]:
    if not 0 < selection.percent <= 100:  # noqa: PLR2004 - per cent
        yield Mistake("$.selection.percent", f"found {selection.percent}, expected above 0 and at most 100")
    for field in ("sites", "hardware", "groups", "firmware"):
        values: list[str] = getattr(selection, field)
        if len(values) > MAX_LIST:
            yield Mistake(f"$.selection.{field}", f"found {len(values)} values, expected at most {MAX_LIST}")
        for index, value in enumerate(values[:MAX_LIST]):
            if not _is_text(value):
                yield Mistake(f"$.selection.{field}[{index}]", f"expected 1 to {MAX_TEXT} printable characters")


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT and text.isprintable()


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
