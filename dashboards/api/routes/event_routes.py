"""`GET /v1/events`: everything as it changes, as server-sent events."""

from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from dashboards.api.allowed import while_allowed
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.measures import API_STREAMS
from dashboards.api.packed import packed
from dashboards.api.problems import ProblemError
from dashboards.api.representation import takes_gzip
from dashboards.api.stream import FIRST_KINDS, KINDS, begin, stream

MOST_MARK = 200


@get("/v1/events", opt=needs(Scope.READ), tags=["events"])
async def events(request: ApiRequest, kinds: Annotated[str, QueryParameter(max_length=200)] = "") -> Stream:
    """The whole picture, then what changes: one event named by its kind with the thing's newest state as data.

    With the `Last-Event-ID` that a former answer said: what changed since then, or `reset` and the whole picture when that is not known any more.
    `kinds` is a list with commas of fleet, site, alert, incident, rollout, account (the default: these), silence, device, anomaly.
    """
    context, view = context_of(request), view_of(request)
    now = context.clock.now_ms
    mark = request.headers.get("last-event-id", "")[:MOST_MARK]
    first, subscription = begin(context.hub, view, _kinds(kinds), mark, now())
    if not context.hub.subscribe(subscription):
        raise ProblemError(503, "too-many-streams", "too many event streams are open; close one or raise api.streams")
    context.telemetry.gauge(API_STREAMS, len(context.hub))
    shown = request.headers.get("authorization")
    body = while_allowed(
        stream(context.hub, subscription, view, now, first),
        lambda: context.tokens.principal(shown) is not None,
        context.clock.monotonic,
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept-Encoding"}
    if takes_gzip(request.headers.get("accept-encoding", "").encode("latin-1")):
        headers["Content-Encoding"] = "gzip"
        body = packed(body)
    return Stream(body, media_type="text/event-stream", headers=headers)


def _kinds(text: str) -> frozenset[str]:
    asked = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = asked - set(KINDS)
    if unknown:
        raise ProblemError(400, "unknown-kind", f"found {min(unknown)[:50]!r}, expected some of {', '.join(KINDS)}")
    return asked or frozenset(FIRST_KINDS)
