"""The rules that alerts are made by, one alert, who looks after it, and what people silence."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of, number_of, unless_changed
from dashboards.api.bodies import read_body
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.problems import unknown
from dashboards.api.rules import RuleView, rule_view
from dashboards.api.silences import NewAcknowledgement, NewSilence, PeopleWriter
from ingest.contract.events import AlertEvent, Silence

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/rules", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def rules(request: ApiRequest, limit: Limit = 200, cursor: FromQuery[str] = "") -> Page[RuleView]:
    """The rules that alerts are made by, by name, each with the state and the number of this tenant's alerts."""
    after, alerts = key_of(cursor, 1), view_of(request).alerts
    found = context_of(request).projection.rules.list(after[0] if after else "", limit + 1)
    return Page(
        data=[rule_view(one, alerts) for one in found[:limit]],
        next=cursor_of(found[limit - 1].name) if len(found) > limit else "",
    )


@get("/v1/rules/{name:str}", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def rule(request: ApiRequest, name: FromPath[str]) -> Data[RuleView]:
    """One rule."""
    known = context_of(request).projection.rules.get(name)
    if known is None:
        raise unknown("rule", name)
    return Data(rule_view(known, view_of(request).alerts))


@get("/v1/alerts/{fingerprint:str}", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def alert(request: ApiRequest, fingerprint: FromPath[str]) -> Data[AlertEvent]:
    """One alert after its newest change."""
    known = view_of(request).alerts.get(fingerprint)
    if known is None:
        raise unknown("alert", fingerprint)
    return Data(known)


@post("/v1/alerts/{fingerprint:str}/acknowledge", opt=needs(Scope.ALERTS_WRITE), status_code=202, tags=["conditions"])
async def acknowledge(request: ApiRequest, fingerprint: FromPath[str]) -> Response[Data[AlertEvent]]:
    """Somebody looks after it (NewAcknowledgement), or no more: nobody else is called. 202: its state follows in a moment."""
    new = await read_body(request, NewAcknowledgement)
    now, trace = context_of(request).clock.now_ms(), request.headers.get("traceparent")
    known = await _writer(request).acknowledge(fingerprint, new, request.user, now, trace)
    return Response(Data(known), status_code=202)


@get("/v1/silences", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def silences(
    request: ApiRequest,
    ended: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[Silence]:
    """Silences and maintenance windows that hold or will, the one that ends first before the others; `ended=true`: all."""
    after = key_of(cursor, 2)
    since = 0 if ended else context_of(request).clock.now_ms()
    chosen = view_of(request).silences.list(ended_before=since)
    if after is not None:
        last = (number_of(after[0]), after[1])
        chosen = [one for one in chosen if (one.ends_at, one.id) > last]
    more = len(chosen) > limit
    return Page(
        data=chosen[:limit], next=cursor_of(str(chosen[limit - 1].ends_at), chosen[limit - 1].id) if more else ""
    )


@get("/v1/silences/{name:str}", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def silence(request: ApiRequest, name: FromPath[str]) -> Data[Silence]:
    """One silence or maintenance window."""
    known = view_of(request).silences.get(name)
    if known is None:
        raise unknown("silence", name)
    return Data(known)


@post("/v1/silences", opt=needs(Scope.ALERTS_WRITE), tags=["conditions"])
async def create_silence(request: ApiRequest) -> Response[Data[Silence]]:
    """Alerts that match all of the matchers (NewSilence) tell nobody for a time. 201."""
    new = await read_body(request, NewSilence)
    now, trace = context_of(request).clock.now_ms(), request.headers.get("traceparent")
    said = await _writer(request).silence(new, request.user, now, trace)
    return Response(Data(said), status_code=201, headers={"Location": f"/v1/silences/{said.id}"})


@post("/v1/silences/{name:str}/end", opt=needs(Scope.ALERTS_WRITE), status_code=200, tags=["conditions"])
async def end_silence(request: ApiRequest, name: FromPath[str]) -> Data[Silence]:
    """It ends now. Doing it again changes nothing."""
    now, trace = context_of(request).clock.now_ms(), request.headers.get("traceparent")
    known = view_of(request).silences.get(name)
    if known is not None:
        unless_changed(request.headers.get("if-match"), known)
    return Data(await _writer(request).end(name, request.user, now, trace))


def _writer(request: ApiRequest) -> PeopleWriter:
    writer: PeopleWriter = request.app.state["people"]
    return writer
