"""Rollouts: list, look, create, end."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.plan_writer import PlanConflictError, PlanWriter, Written
from dashboards.api.plans import BadPlanError, read_plan, to_plan
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.rollouts import RolloutDetail, RolloutView

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/rollouts", opt=needs(Scope.READ), tags=["rollouts"], sync_to_thread=False)
def list_rollouts(request: ApiRequest, limit: Limit = 100, cursor: FromQuery[str] = "") -> Page[RolloutView]:
    """Rollouts, the newest first."""
    rollouts = view_of(request).rollouts.values()
    ordered = sorted(((-(r.plan.created if r.plan else 0), r.name, r) for r in rollouts), key=lambda item: item[:2])
    after = key_of(cursor, 2)
    if after is not None:
        ordered = [item for item in ordered if item[:2] > (int(after[0]), after[1])]
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
    written = await _writer(request).end(request.user.tenant, name, request.headers.get("traceparent"))
    if written is None:
        raise unknown("rollout", name)
    return Data(view_of(request).rollouts[name].view())


def _writer(request: ApiRequest) -> PlanWriter:
    writer: PlanWriter = request.app.state["plans"]
    return writer


def _created(request: ApiRequest, written: Written) -> Response[Data[RolloutView]]:
    name = written.plan.rollout
    view = Data(view_of(request).rollouts[name].view())
    return Response(view, status_code=201 if written.is_new else 200, headers={"Location": f"/v1/rollouts/{name}"})
