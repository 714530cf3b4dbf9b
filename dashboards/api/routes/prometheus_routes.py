"""`/api/v1/query`: the gate's gauges for whoever speaks Prometheus (Flagger, Argo Rollouts, Keptn)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.gauges import select
from dashboards.api.guards import needs
from dashboards.api.selectors import BadQueryError, Constant, format_value, parse_query

PRESENT_S = 300.0


@get("/api/v1/query", opt=needs(Scope.GATES), tags=["gates"], sync_to_thread=False)
def query_get(
    request: ApiRequest, expression: Annotated[str, QueryParameter(name="query")] = "", time: FromQuery[str] = ""
) -> Response[bytes]:
    """An instant query: `vector(1)` or a selector over the gate's gauges."""
    return _answer(request, expression, time)


@post("/api/v1/query", opt=needs(Scope.GATES), status_code=200, tags=["gates"])
async def query_post(request: ApiRequest) -> Response[bytes]:
    """The same with the parameters in a form, as Prometheus clients send it first."""
    form = await request.form()
    return _answer(request, str(form.get("query", "")), str(form.get("time", "")))


def _answer(request: ApiRequest, query: str, time: str) -> Response[bytes]:
    try:
        at = _instant(time, context_of(request).clock.now_ms() / 1000)
        result = _evaluate(request, query, at)
    except BadQueryError as error:
        return _reply(400, {"status": "error", "errorType": "bad_data", "error": str(error)})
    return _reply(200, {"status": "success", "data": {"resultType": "vector", "result": result}})


def _evaluate(request: ApiRequest, query: str, at: float) -> list[dict[str, Any]]:
    parsed = parse_query(query)
    if isinstance(parsed, Constant):
        return [{"metric": {}, "value": [at, format_value(parsed.value)]}]
    found = select(parsed, view_of(request).rollouts)
    return [{"metric": labels, "value": [at, format_value(value)]} for labels, value in found]


def _instant(time: str, now: float) -> float:
    if not time:
        return now
    try:
        at = float(time)
    except ValueError:
        try:
            at = datetime.fromisoformat(time).timestamp()
        except ValueError:
            raise BadQueryError("time: expected seconds since the epoch or RFC 3339") from None
    if not abs(at - now) <= PRESENT_S:
        raise BadQueryError("time: only the present can be asked for")
    return at


def _reply(status: int, body: dict[str, Any]) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
