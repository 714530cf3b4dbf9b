"""Which plans are taken, which changes of a running one are allowed, and the hash that names a policy."""

from __future__ import annotations

import hashlib
import math
import re
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import GuardKind, Installs, PlanState, bad_quantile, margin_range
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.contract.events import Guard, RolloutPlan

DIGEST = re.compile(r"sha256:[0-9a-f]+")
CHANGEABLE = ("state", "mode", "command_expiry_s", "created", "created_by", "approvals", "interventions", "reason")
"""What may change while a rollout runs: everything else decides, and was decided before the first look."""


class PlanRejection(StrEnum):
    """Why a plan was not taken."""

    MALFORMED = "malformed"
    BAD_NAME = "bad_name"
    BAD_ALPHA = "bad_alpha"
    BAD_SHARE = "bad_share"
    BAD_GUARDS = "bad_guards"
    BAD_RELEASE = "bad_release"
    BAD_DURATION = "bad_duration"
    BAD_STAGES = "bad_stages"
    BAD_BUDGET = "bad_budget"
    UNKNOWN_TENANT = "unknown_tenant"
    FOREIGN_TENANT = "foreign_tenant"  # the rollout's name belongs to another tenant
    CHANGED_WHILE_RUNNING = "changed_while_running"


def review(plan: RolloutPlan, known: RolloutPlan | None, tenants: Collection[str]) -> PlanRejection | None:
    """Why the plan cannot be taken, or None; `known` is the one of that name that is in force."""
    # A name is one tenant's: nobody takes over another's rollout.
    if known is not None and known.tenant != plan.tenant:
        return PlanRejection.FOREIGN_TENANT
    # Commands would go to nobody's devices.
    if plan.tenant not in tenants:
        return PlanRejection.UNKNOWN_TENANT
    # What was promised before the first look holds to the end.
    if known is not None and _decisive(plan) != _decisive(known):
        return PlanRejection.CHANGED_WHILE_RUNNING
    return _check_values(plan)


def policy_hash(plan: RolloutPlan) -> str:
    """`sha256:` and the digest of the plan's canonical JSON, without who wrote it when, and what people did to it since.

    What has its default is left out: plans keep their hash when a later release knows more fields.
    """
    policy = msgspec.structs.replace(
        plan, state=PlanState.RUNNING, created=0, created_by="", approvals=[], interventions=[], reason=""
    )
    canonical = msgspec.json.encode(_without_defaults(policy), order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def _without_defaults(value: object) -> object:
    if isinstance(value, list):
        return [_without_defaults(one) for one in value]
    if not isinstance(value, msgspec.Struct):
        return value
    said = ((field, getattr(value, field.name)) for field in msgspec.structs.fields(value))
    return {field.name: _without_defaults(one) for field, one in said if field.required or one != _default(field)}


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _decisive(plan: RolloutPlan) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(plan).items() if name not in CHANGEABLE}


def _check_values(plan: RolloutPlan) -> PlanRejection | None:
    sound = {
        PlanRejection.BAD_NAME: is_name(plan.rollout),
        PlanRejection.BAD_ALPHA: 0.0 < plan.alpha <= 0.5,  # noqa: PLR2004 - beyond a coin toss nothing is shown
        PlanRejection.BAD_SHARE: 0.0 <= plan.canary_share <= 1.0,
        PlanRejection.BAD_GUARDS: sound_guards(plan.guards) and _has_answers(plan),
        PlanRejection.BAD_RELEASE: _sound_release(plan),
        PlanRejection.BAD_STAGES: sound_stages(plan),
        PlanRejection.BAD_BUDGET: plan.budget.devices >= 0 and 0.0 <= plan.budget.share <= 1.0,
        PlanRejection.BAD_DURATION: all(map(_span, _durations(plan))),
    }
    return next((reason for reason, holds in sound.items() if not holds), None)


def sound_guards(guards: list[Guard]) -> bool:
    """Whether guards can be judged: names that differ, weights above 0, margins and quantiles that mean something for their kind."""
    names = {guard.name for guard in guards if guard.name}
    numbers = all(0.0 < g.weight < math.inf and _sound_margin(g) and not bad_quantile(g, guards) for g in guards)
    return bool(guards) and len(names) == len(guards) and numbers


def _has_answers(plan: RolloutPlan) -> bool:
    # Devices answer commands only.
    return plan.installs is Installs.COMMANDS or all(guard.kind is not GuardKind.UPDATE for guard in plan.guards)


def sound_stages(plan: RolloutPlan) -> bool:
    """Whether each stage is for more devices than the one before, and all last for a time."""
    shares = [0.0, *(stage.share for stage in plan.stages)]
    rising = all(before < after <= 1.0 for before, after in pairwise(shares))
    lasting = all(_span(stage.soak_s) for stage in plan.stages)
    return rising and lasting and 0.0 <= plan.hold_out < 1.0 and 0.0 < plan.selection.percent <= 100.0  # noqa: PLR2004 - %


def _sound_margin(guard: Guard) -> bool:
    least, most = margin_range(guard)
    return least < guard.margin < most


def _sound_release(plan: RolloutPlan) -> bool:
    named = bool(plan.release) and bool(plan.previous_release) and plan.release != plan.previous_release
    digests = (plan.release_digest, plan.previous_digest)
    return named and all(DIGEST.fullmatch(digest) for digest in digests)


def _durations(plan: RolloutPlan) -> tuple[float, ...]:
    return plan.install_grace_s, plan.command_expiry_s, plan.outage_s, plan.soak_s, plan.baseline_s


def _span(seconds: float) -> bool:
    return 0.0 <= seconds < 10 * 365 * 86_400.0
