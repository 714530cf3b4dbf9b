"""Maintenance windows, once or again and again: listed, made, ended."""

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of, number_of, unless_changed
from dashboards.api.bodies import read_body
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.guards import needs
from dashboards.api.maintenance import MaintenanceView, MaintenanceWriter, NewMaintenance, place_of
from dashboards.api.problems import unknown

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/maintenance", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def windows(
    request: ApiRequest,
    ended: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[MaintenanceView]:
    """Maintenance windows that are open or will be, the next ones first; `ended=true`: also those that come no more."""
    after = key_of(cursor, 2)
    chosen = view_of(request).maintenance.list(context_of(request).clock.now_ms(), over_too=ended)
    if after is not None:
        last = (number_of(after[0]), after[1])
        chosen = [one for one in chosen if place_of(one) > last]
    shown = chosen[:limit]
    return Page(data=shown, next=cursor_of(*map(str, place_of(shown[-1]))) if len(chosen) > limit else "")


@get("/v1/maintenance/{name:str}", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def window(request: ApiRequest, name: FromPath[str]) -> Data[MaintenanceView]:
    """One maintenance window."""
    known = view_of(request).maintenance.get(name, context_of(request).clock.now_ms())
    if known is None:
        raise unknown("maintenance window", name)
    return Data(known)


@post("/v1/maintenance", opt=needs(Scope.ALERTS_WRITE), tags=["conditions"])
async def create_window(request: ApiRequest) -> Response[Data[MaintenanceView]]:
    """Alerts that match all of the matchers (NewMaintenance) tell nobody in these hours. 201."""
    new = await read_body(request, NewMaintenance)
    now, trace = context_of(request).clock.now_ms(), request.headers.get("traceparent")
    made = await _writer(request).make(new, request.user, now, trace)
    return Response(Data(made), status_code=201, headers={"Location": f"/v1/maintenance/{made.id}"})


@post("/v1/maintenance/{name:str}/end", opt=needs(Scope.ALERTS_WRITE), status_code=200, tags=["conditions"])
async def end_window(request: ApiRequest, name: FromPath[str]) -> Data[MaintenanceView]:
    """It ends now and comes no more. Doing it again changes nothing."""
    now, trace = context_of(request).clock.now_ms(), request.headers.get("traceparent")
    known = view_of(request).maintenance.get(name, now)
    if known is not None:
        unless_changed(request.headers.get("if-match"), known)
    return Data(await _writer(request).end(name, request.user, now, trace))


def _writer(request: ApiRequest) -> MaintenanceWriter:
    writer: MaintenanceWriter = request.app.state["maintenance"]
    return writer
