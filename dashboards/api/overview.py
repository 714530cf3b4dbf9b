"""What a first look needs, in one answer: so much of everything as fits on a page, the gravest first."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.devices import FleetSummary
from dashboards.api.ledger import LedgerTotals
from dashboards.api.maintenance import MaintenanceView
from dashboards.api.rollouts import RolloutView
from dashboards.api.sites import SiteView
from ingest.contract.events import AlertEvent, IncidentEvent, Silence

if TYPE_CHECKING:
    from dashboards.api.views import TenantView

ALERTS = 1000
INCIDENTS = 200
ROLLOUTS = 200
SILENCES = 200
MAINTENANCE = 200
SITES = 2000


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant at the server's time `at` (ms); `whole` says that nothing was left out. Incidents come without their series."""

    tenant: str
    at: int
    whole: bool
    fleet: FleetSummary
    account: LedgerTotals
    sites: list[SiteView]
    alerts: list[AlertEvent]
    incidents: list[IncidentEvent]
    rollouts: list[RolloutView]
    silences: list[Silence]
    maintenance: list[MaintenanceView]


def overview(view: TenantView, now: int) -> Overview:
    """The tenant at time `now` (ms)."""
    silences, maintenance = view.silences.list(ended_before=now), view.maintenance.list(now)
    rollouts = sorted((rollout.view() for rollout in view.rollouts.values()), key=attrgetter("created"), reverse=True)
    sites = view.sites(now)
    counts = (
        (view.alerts, ALERTS),
        (view.incidents, INCIDENTS),
        (rollouts, ROLLOUTS),
        (silences, SILENCES),
        (maintenance, MAINTENANCE),
        (sites, SITES),
    )
    return Overview(
        tenant=view.tenant,
        at=now,
        whole=all(len(there) <= most for there, most in counts),
        fleet=view.devices.summary(),
        account=view.ledger().totals,
        sites=sites[:SITES],
        alerts=view.alerts.list(None, ALERTS),
        incidents=view.incidents.list(None, "", "", INCIDENTS),
        rollouts=rollouts[:ROLLOUTS],
        silences=silences[:SILENCES],
        maintenance=maintenance[:MAINTENANCE],
    )
