"""What is wrong, and whether everything is accounted for: alerts, anomalies, incidents, the ledger."""

from typing import Annotated

from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.alerts import place_of as place_of_alert
from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of, number_of
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, view_of
from dashboards.api.guards import needs
from dashboards.api.incidents import place_of as place_of_incident
from dashboards.api.ledger import LedgerView
from dashboards.api.ordered import Key
from dashboards.api.problems import unknown
from ingest.contract.events import AlertEvent, AlertState, AnomalyEvent, IncidentEvent, IncidentState

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/alerts", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def alerts(
    request: ApiRequest,
    *,
    alert_state: Annotated[AlertState | None, QueryParameter(name="state")] = None,
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[AlertEvent]:
    """Alerts: firing first, then by severity, then the newest change first."""
    after = key_of(cursor, 4)
    place = (*map(number_of, after[:3]), after[3]) if after else None
    found = view_of(request).alerts.list(alert_state, limit + 1, place)
    more = len(found) > limit
    return Page(data=found[:limit], next=_cursor(place_of_alert(found[limit - 1])) if more else "")


@get("/v1/anomalies", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def anomalies(
    request: ApiRequest,
    *,
    site: FromQuery[str] = "",
    device: FromQuery[str] = "",
    since: FromQuery[int] = 0,
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[AnomalyEvent]:
    """The newest anomalies that changed at or after `since` (ms), one for each episode of a series."""
    after = key_of(cursor, 1)
    before = number_of(after[0]) if after else None
    found = view_of(request).anomalies.page(site, device, since, limit + 1, before)
    more = len(found) > limit
    return Page(
        data=[seen.event for seen in found[:limit]], next=cursor_of(str(found[limit - 1].number)) if more else ""
    )


@get("/v1/incidents", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def incidents(
    request: ApiRequest,
    *,
    incident_state: Annotated[IncidentState | None, QueryParameter(name="state")] = None,
    site: FromQuery[str] = "",
    device: FromQuery[str] = "",
    limit: Limit = 200,
    cursor: FromQuery[str] = "",
) -> Page[IncidentEvent]:
    """Incidents without their series: those that go on first, then the newest change. `site`, `device`: among those listed as affected."""
    after = key_of(cursor, 3)
    place = (bool(number_of(after[0])), number_of(after[1]), after[2]) if after else None
    found = view_of(request).incidents.list(incident_state, site, device, limit + 1, place)
    more = len(found) > limit
    return Page(data=found[:limit], next=_cursor(place_of_incident(found[limit - 1])) if more else "")


@get("/v1/incidents/{name:str}", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def incident(request: ApiRequest, name: FromPath[str]) -> Data[IncidentEvent]:
    """One incident: what the affected share, its symptoms with the root cause first, the series that alarmed first."""
    known = view_of(request).incidents.get(name)
    if known is None:
        raise unknown("incident", name)
    return Data(known)


@get("/v1/ledger", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def ledger(request: ApiRequest) -> Data[LedgerView]:
    """What became of every sample, gateway by gateway."""
    return Data(view_of(request).ledger())


def _cursor(place: Key) -> str:
    return cursor_of(*(str(int(part)) for part in place[:-1]), str(place[-1]))
