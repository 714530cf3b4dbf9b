"""`GET /v1/events`: everything as it changes, as server-sent events."""

from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.hub import Subscription
from dashboards.api.measures import API_STREAMS
from dashboards.api.problems import ProblemError
from dashboards.api.stream import FIRST_KINDS, KINDS, everything, stream


@get("/v1/events", opt=needs(Scope.READ), tags=["events"])
async def events(request: ApiRequest, kinds: Annotated[str, QueryParameter(max_length=200)] = "") -> Stream:
    """The whole picture, then what changes: one event named by its kind with the thing's newest state as data.

    `kinds` is a list with commas of fleet, site, alert, rollout, account (the default: these), device, anomaly.
    """
    context, view = context_of(request), view_of(request)
    now = context.clock.now_ms
    subscription = Subscription(view.tenant, _kinds(kinds), everything(view, now()))
    if not context.hub.subscribe(subscription):
        raise ProblemError(503, "too-many-streams", "too many event streams are open; close one or raise api.streams")
    context.telemetry.gauge(API_STREAMS, len(context.hub))
    body = stream(context.hub, subscription, view, now)
    return Stream(
        body, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _kinds(text: str) -> frozenset[str]:
    asked = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = asked - set(KINDS)
    if unknown:
        raise ProblemError(400, "unknown-kind", f"found {min(unknown)[:50]!r}, expected some of {', '.join(KINDS)}")
    return asked or frozenset(FIRST_KINDS)
