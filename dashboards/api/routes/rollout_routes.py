"""Rollouts: list, look, create, pause, resume, end; approve a rollback."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import structs

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of, number_of, unless_changed
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.plan_writer import PlanConflictError, PlanWriter, Written
from dashboards.api.plans import BadPlanError, read_plan, to_plan
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.rollouts import RolloutDetail, RolloutView
from ingest.contract.events import Approval, Intervention, Outcome, PlanState, RolloutPlan, Verb

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]
MAX_REASON = 500
MOST_APPROVALS = 20
AGREEMENT_MS = 86_400_000
"""Two people agree when they say so within a day."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why: it goes into the audit log."""

    reason: str


@get("/v1/rollouts", opt=needs(Scope.READ), tags=["rollouts"], sync_to_thread=False)
def list_rollouts(request: ApiRequest, limit: Limit = 100, cursor: FromQuery[str] = "") -> Page[RolloutView]:
    """Rollouts, the newest first."""
    rollouts = view_of(request).rollouts.values()
    ordered = sorted(((-(r.plan.created if r.plan else 0), r.name, r) for r in rollouts), key=lambda item: item[:2])
    after = key_of(cursor, 2)
    if after is not None:
        ordered = [item for item in ordered if item[:2] > (number_of(after[0]), after[1])]
    page = [rollout for _, _, rollout in ordered[:limit]]
    last = ordered[limit - 1] if len(ordered) > limit else None
    return Page(data=[r.view() for r in page], next=cursor_of(str(last[0]), last[1]) if last else "")


@get("/v1/rollouts/{name:str}", opt=needs(Scope.READ), tags=["rollouts"], sync_to_thread=False)
def show_rollout(request: ApiRequest, name: FromPath[str]) -> Data[RolloutDetail]:
    """Plan, verdict, the e-value's path and the rollback of one rollout."""
    known = view_of(request).rollouts.get(name)
    if known is None:
        raise unknown("rollout", name)
    return Data(known.detail())


@post("/v1/rollouts", opt=needs(Scope.ROLLOUTS_WRITE), tags=["rollouts"])
async def create_rollout(request: ApiRequest) -> Response[Data[RolloutView]]:
    """Create a rollout from a plan (NewRollout): 201; the same again: 200; the name with other content: 409."""
    try:
        asked = read_plan(await request.body(), request.user.tenant)
    except BadPlanError as error:
        raise ProblemError(
            400 if error.malformed else 422, "bad-plan", "the plan has mistakes", error.mistakes
        ) from error
    context = context_of(request)
    plan = to_plan(asked, tenant=request.user.tenant, created=context.clock.now_ms(), created_by=request.user.name)
    try:
        written = await _writer(request).create(plan, request.headers.get("traceparent"))
    except PlanConflictError as error:
        raise ProblemError(409, "rollout-exists", str(error)) from error
    return _created(request, written)


@post("/v1/rollouts/{name:str}/end", opt=needs(Scope.ROLLOUTS_WRITE), status_code=200, tags=["rollouts"])
async def end_rollout(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """End a rollout: its gate judges no further. Doing it again changes nothing."""
    return await _changed(request, name, lambda plan: structs.replace(plan, state=PlanState.ENDED))


@post("/v1/rollouts/{name:str}/pause", opt=needs(Scope.ROLLOUTS_WRITE), status_code=200, tags=["rollouts"])
async def pause_rollout(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """No further device is drawn; those that are go on being judged. In mode `automatic` it takes two people. Body: `{"reason": …}`."""
    return await _intervene(request, name, Verb.PAUSE)


@post("/v1/rollouts/{name:str}/resume", opt=needs(Scope.ROLLOUTS_WRITE), status_code=200, tags=["rollouts"])
async def resume_rollout(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """Draw devices again. In mode `automatic` it takes two people. Body: `{"reason": …}`."""
    return await _intervene(request, name, Verb.RESUME)


@post("/v1/rollouts/{name:str}/abort", opt=needs(Scope.ROLLOUTS_APPROVE), status_code=200, tags=["rollouts"])
async def abort_rollout(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """The verdict is `fail`, and who has the release goes back. In mode `automatic` it takes two people. Body: `{"reason": …}`."""
    return await _intervene(request, name, Verb.ABORT)


@post("/v1/rollouts/{name:str}/override", opt=needs(Scope.ROLLOUTS_APPROVE), status_code=200, tags=["rollouts"])
async def override_gate(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """The verdict is `pass`, and nobody goes back. In mode `automatic` it takes two people. Body: `{"reason": …}`."""
    return await _intervene(request, name, Verb.OVERRIDE)


@post("/v1/rollouts/{name:str}/approve", opt=needs(Scope.ROLLOUTS_APPROVE), status_code=200, tags=["rollouts"])
async def approve_rollback(request: ApiRequest, name: FromPath[str]) -> Data[RolloutView]:
    """Approve the rollback of a rollout in mode `approve` that failed; it takes two people. Body: `{"reason": …}`."""
    reason = await read_reason(request)
    known = view_of(request).rollouts.get(name)
    if known is None:
        raise unknown("rollout", name)
    if known.verdict is None or known.verdict.verdict is not Outcome.FAIL:
        raise ProblemError(409, "nothing-to-approve", "the gate has not said fail")
    approval = Approval(by=request.user.name, at=context_of(request).clock.now_ms(), reason=reason)

    def approved(plan: RolloutPlan) -> RolloutPlan:
        # The newest of each person's counts: one may approve again when the first has expired.
        others = [one for one in plan.approvals if one.by != approval.by]
        return structs.replace(plan, approvals=[*others, approval][-MOST_APPROVALS:])

    return await _changed(request, name, approved)


STATES = {Verb.PAUSE: PlanState.PAUSED, Verb.RESUME: PlanState.RUNNING}


async def _intervene(request: ApiRequest, name: str, verb: Verb) -> Data[RolloutView]:
    said = Intervention(
        verb=verb, by=request.user.name, at=context_of(request).clock.now_ms(), reason=await read_reason(request)
    )

    def changed(plan: RolloutPlan) -> RolloutPlan:
        if plan.state is PlanState.ENDED:
            raise ProblemError(409, "rollout-ended", f"rollout {name!r} has ended")
        return intervened(plan, said)

    return await _changed(request, name, changed)


def intervened(plan: RolloutPlan, said: Intervention) -> RolloutPlan:
    """The plan after somebody asked for something; a pause and its end happen as soon as enough people ask for it."""
    others = [one for one in plan.interventions if (one.verb, one.by) != (said.verb, said.by)]
    asked = structs.replace(plan, interventions=[*others, said][-MOST_APPROVALS:], reason=f"{said.by}: {said.reason}")
    state = STATES.get(said.verb)
    if state is None or not asked.agree(said.verb, said.at - AGREEMENT_MS):
        return asked
    # It is done: the way back is to be agreed on anew.
    left = [one for one in asked.interventions if one.verb is said.verb or one.verb not in STATES]
    return structs.replace(asked, state=state, interventions=left)


async def _changed(request: ApiRequest, name: str, change: Callable[[RolloutPlan], RolloutPlan]) -> Data[RolloutView]:
    known = view_of(request).rollouts.get(name)

    def changed(plan: RolloutPlan) -> RolloutPlan:
        # The topic's plan is what it is now; the view may be a moment behind.
        if known is not None:
            known.plan = plan
            unless_changed(request.headers.get("if-match"), known.detail())
        return change(plan)

    written = await _writer(request).change(request.user.tenant, name, changed, request.headers.get("traceparent"))
    if written is None:
        raise unknown("rollout", name)
    return Data(view_of(request).rollouts[name].view())


async def read_reason(request: ApiRequest) -> str:
    """The reason in the request's body. Raises ProblemError."""
    try:
        reason = msgspec.json.decode(await request.body(), type=Reason).reason.strip()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "reason-needed", f'expected {{"reason": "…"}}: {error}') from error
    if not 0 < len(reason) <= MAX_REASON:
        raise ProblemError(400, "reason-needed", f"expected a reason of 1 to {MAX_REASON} characters")
    return reason


def _writer(request: ApiRequest) -> PlanWriter:
    writer: PlanWriter = request.app.state["plans"]
    return writer


def _created(request: ApiRequest, written: Written) -> Response[Data[RolloutView]]:
    name = written.plan.rollout
    view = Data(view_of(request).rollouts[name].view())
    return Response(view, status_code=201 if written.is_new else 200, headers={"Location": f"/v1/rollouts/{name}"})
