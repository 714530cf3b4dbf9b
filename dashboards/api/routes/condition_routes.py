"""What is wrong, and whether everything is accounted for: alerts, anomalies, the ledger."""

from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, view_of
from dashboards.api.guards import needs
from dashboards.api.ledger import LedgerView
from ingest.contract.events import AlertEvent, AlertState, AnomalyEvent

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/alerts", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def alerts(
    request: ApiRequest,
    alert_state: Annotated[AlertState | None, QueryParameter(name="state")] = None,
    limit: Limit = 200,
) -> Page[AlertEvent]:
    """Alerts: firing first, then by severity, then the newest change first."""
    return Page(data=view_of(request).alerts.list(alert_state, limit))


@get("/v1/anomalies", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def anomalies(
    request: ApiRequest,
    site: FromQuery[str] = "",
    device: FromQuery[str] = "",
    since: FromQuery[int] = 0,
    limit: Limit = 200,
) -> Page[AnomalyEvent]:
    """The newest anomalies that changed at or after `since` (ms), one for each episode of a series."""
    return Page(data=view_of(request).anomalies.list(site, device, since, limit))


@get("/v1/ledger", opt=needs(Scope.READ), tags=["conditions"], sync_to_thread=False)
def ledger(request: ApiRequest) -> Data[LedgerView]:
    """What became of every sample, gateway by gateway."""
    return Data(view_of(request).ledger())
