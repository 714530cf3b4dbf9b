"""What is wrong with a rollout plan: every mistake with its path."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import GuardKind, Installs, PlanState, RollbackMode, bad_quantile, margin_range
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dashboards.api.plans import NewRollout
    from ingest.contract.events import Guard, Selection

MAX_TEXT = 128
MAX_LIST = 1000
MAX_GUARDS = 50
MAX_ALPHA = 0.5
LONGEST_S = 10 * 365 * 86_400.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (a JSON path), and what was found and expected."""

    path: str
    message: str


def mistakes_of(plan: NewRollout, tenant: str) -> Iterator[Mistake]:
    """All that is wrong with a plan that this tenant sends."""
    if plan.tenant not in ("", tenant):
        yield Mistake("$.tenant", f"found {plan.tenant[:64]!r}, expected {tenant!r}: the token's tenant")
    if plan.state is not PlanState.RUNNING:
        yield Mistake("$.state", f"found {plan.state.value!r}, expected 'running': that is how a rollout begins")
    yield from _mistakes(plan)


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
    yield from _install_mistakes(plan)
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
    if not 0 <= plan.outage_s < LONGEST_S:
        yield Mistake("$.outage_s", f"found {plan.outage_s}, expected seconds: 0 (off) to ten years")
    if not 0 < plan.soak_s < LONGEST_S:
        yield Mistake("$.soak_s", f"found {plan.soak_s}, expected seconds: above 0, to ten years")
    if not 0 <= plan.baseline_s < LONGEST_S:
        yield Mistake("$.baseline_s", f"found {plan.baseline_s}, expected seconds: 0 to ten years")
    if not 0 < plan.command_expiry_s < LONGEST_S:
        yield Mistake("$.command_expiry_s", f"found {plan.command_expiry_s}, expected seconds: above 0, to ten years")


def _install_mistakes(plan: NewRollout) -> Iterator[Mistake]:
    if plan.installs is Installs.COMMANDS:
        return
    for index, guard in enumerate(plan.guards):
        if guard.kind is GuardKind.UPDATE:
            yield Mistake(f"$.guards[{index}].kind", "kind 'update' is of answers to commands: there are none")
    if plan.mode is not RollbackMode.OBSERVE and not plan.actuators and plan.rollback_commands is None:
        expected = (
            "expected an owner who brings devices back, or rollback_commands (false where a webhook's owner does)"
        )
        yield Mistake("$.actuators", expected)


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


def _guard_mistakes(guards: Sequence[Guard]) -> Iterator[Mistake]:
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
        quantile = bad_quantile(guard, guards)
        if quantile:
            yield Mistake(f"{at}.quantile", f"found {guard.quantile}, {quantile}")


def _selection_mistakes(selection: Selection) -> Iterator[Mistake]:
    if not 0 < selection.percent <= 100:  # noqa: PLR2004 - per cent
        yield Mistake("$.selection.percent", f"found {selection.percent}, expected above 0 and at most 100")
    for field in ("sites", "hardware", "groups", "firmware", "tags"):
        values: list[str] = getattr(selection, field)
        if len(values) > MAX_LIST:
            yield Mistake(f"$.selection.{field}", f"found {len(values)} values, expected at most {MAX_LIST}")
        for index, value in enumerate(values[:MAX_LIST]):
            if not _is_text(value):
                yield Mistake(f"$.selection.{field}[{index}]", f"expected 1 to {MAX_TEXT} printable characters")


def _is_text(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT and text.isprintable()
