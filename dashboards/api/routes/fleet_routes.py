"""Devices and sites."""

from typing import Annotated

from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.devices import DeviceFilter, FleetSummary
from dashboards.api.guards import needs
from dashboards.api.overview import Overview
from dashboards.api.overview import overview as overview_of
from dashboards.api.problems import unknown
from dashboards.api.sites import SiteView
from ingest.contract.events import DeviceEvent, DeviceState

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


@get("/v1/fleet", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def fleet(request: ApiRequest) -> Data[FleetSummary]:
    """All devices, counted by state, firmware, hardware and group."""
    return Data(view_of(request).devices.summary())


@get("/v1/overview", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def overview(request: ApiRequest) -> Data[Overview]:
    """What a first look needs in one answer: the fleet, its sites, what is wrong, the rollouts; the gravest first where not all fits."""
    return Data(overview_of(view_of(request), context_of(request).clock.now_ms()))


@get("/v1/devices", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def devices(
    request: ApiRequest,
    *,
    site: FromQuery[str] = "",
    device_state: Annotated[DeviceState | None, QueryParameter(name="state")] = None,
    firmware: FromQuery[str] = "",
    hardware: FromQuery[str] = "",
    group: FromQuery[str] = "",
    text: Annotated[str, QueryParameter(name="q", max_length=200)] = "",
    limit: Limit = 100,
    cursor: FromQuery[str] = "",
) -> Page[DeviceEvent]:
    """Devices by site and name; `q` is looked for in the device's name."""
    wanted = DeviceFilter(
        site=site, state=device_state or "", firmware=firmware, hardware=hardware, group=group, text=text
    )
    after = key_of(cursor, 2)
    found = view_of(request).devices.page(wanted, (after[0], after[1]) if after else None, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(data=found[:limit], next=cursor_of(last.site, last.device) if last else "")


@get("/v1/devices/{site:str}/{device:str}", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def device(request: ApiRequest, site: FromPath[str], device: FromPath[str]) -> Data[DeviceEvent]:
    """Everything known of one device after its newest change."""
    known = view_of(request).devices.get(site, device)
    if known is None:
        raise unknown("device", f"{site}/{device}")
    return Data(known)


@get("/v1/sites", opt=needs(Scope.READ), tags=["fleet"], sync_to_thread=False)
def sites(request: ApiRequest) -> Page[SiteView]:
    """Sites with their gateways, watermarks and backlog, and whether they are dark."""
    return Page(data=view_of(request).sites(context_of(request).clock.now_ms()))
