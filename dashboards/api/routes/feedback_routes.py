"""Not an anomaly: say so, look at what was said, take it back."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of, number_of
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.feedback import FeedbackWriter, FullError, NewFeedback
from dashboards.api.guards import needs
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.routes.rollout_routes import MAX_REASON, read_reason
from ingest.contract.events import FeedbackEvent

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/feedback", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def list_feedback(
    request: ApiRequest,
    undone: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[FeedbackEvent]:
    """What people said is normal and holds, the newest first; with `undone=true` also what was taken back."""
    after = key_of(cursor, 2)
    place = (number_of(after[0]), after[1]) if after else None
    found = view_of(request).feedback.list(undone=undone, limit=limit + 1, after=place)
    last = found[limit - 1] if len(found) > limit else None
    return Page(data=found[:limit], next=cursor_of(str(-last.at), last.id) if last else "")


@post("/v1/feedback", opt=needs(Scope.FEEDBACK_WRITE), tags=["conditions"])
async def say(request: ApiRequest) -> Response[Data[FeedbackEvent]]:
    """An anomaly is none (NewFeedback): what is no rarer is not told any more, for its series or its cohort, from now on. 201."""
    try:
        new = msgspec.json.decode(await request.body(), type=NewFeedback)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "bad-feedback", f'expected {{"anomaly": "…", "reason": "…"}}: {error}') from error
    if not 0 < len(new.reason.strip()) <= MAX_REASON:
        raise ProblemError(400, "reason-needed", f"expected a reason of 1 to {MAX_REASON} characters")
    seen = view_of(request).anomalies.get(new.anomaly)
    if seen is None:
        raise unknown("anomaly", new.anomaly)
    if seen.event.sites:
        raise ProblemError(
            409, "no-series", "this is an anomaly of a cohort over sites: it ends by itself, as the new normal"
        )
    now = context_of(request).clock.now_ms()
    try:
        said = await _writer(request).say(seen, new, request.user.name, now, request.headers.get("traceparent"))
    except FullError as error:
        raise ProblemError(409, "too-much-feedback", str(error)) from error
    return Response(Data(said), status_code=201)


@post("/v1/feedback/{name:str}/undo", opt=needs(Scope.FEEDBACK_WRITE), status_code=200, tags=["conditions"])
async def undo(request: ApiRequest, name: FromPath[str]) -> Data[FeedbackEvent]:
    """It is an anomaly after all: from now on all is told as if nothing had been said. Body: `{"reason": …}`."""
    reason, now = await read_reason(request), context_of(request).clock.now_ms()
    trace = request.headers.get("traceparent")
    said = await _writer(request).undo(
        request.user.tenant, name, by=request.user.name, at=now, reason=reason, trace=trace
    )
    if said is None:
        raise unknown("feedback", name)
    return Data(said)


def _writer(request: ApiRequest) -> FeedbackWriter:
    writer: FeedbackWriter = request.app.state["feedback"]
    return writer
