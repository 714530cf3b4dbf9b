"""All that the API knows of one tenant. Tenants share nothing: a view is found by the token's tenant alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.api.alerts import AlertBook
from dashboards.api.anomalies import AnomalyBook
from dashboards.api.devices import DeviceTable
from dashboards.api.feedback import FeedbackBook
from dashboards.api.incidents import IncidentBook
from dashboards.api.ledger import Account, LedgerView, ledger_view
from dashboards.api.maintenance import MaintenanceBook
from dashboards.api.past import DeadLetterView, Recent
from dashboards.api.pulls import PullBook
from dashboards.api.rollouts import Rollout
from dashboards.api.silences import SilenceBook
from dashboards.api.sites import Heard, SiteState, SiteView, gateway_state, site_view
from ingest.contract.events import AlertEvent, AuditEntry, DeviceEvent, PlanState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.api.config import ApiConfig
    from ingest.contract.events import GatewayEvent, RollbackStatus, RolloutPlan, Verdict

ACCOUNTS_KEPT = 20_000


class TenantView:
    """One tenant's devices, sites, alerts, rollouts, accounts, anomalies, incidents and pulled samples, each bounded."""

    def __init__(self, tenant: str, config: ApiConfig, gateways: Iterable[tuple[str, str]] = ()) -> None:
        self.tenant = tenant
        known = list(gateways)
        self.pulls = PullBook(config.samples_kept_bytes, known)
        self.devices = DeviceTable(config.devices_kept)
        self.alerts = AlertBook(config.alerts_kept)
        self.anomalies = AnomalyBook(config.anomalies_kept)
        self.incidents = IncidentBook(config.incidents_kept_bytes)
        self.feedback = FeedbackBook()
        self.silences = SilenceBook()
        self.maintenance = MaintenanceBook()
        self.audit: Recent[AuditEntry] = Recent()
        self.changes: Recent[DeviceEvent] = Recent()
        self.alert_history: Recent[AlertEvent] = Recent()
        self.dead_letters: Recent[DeadLetterView] = Recent()
        self.rollouts: dict[str, Rollout] = {}
        self._rollouts_kept = config.rollouts_kept
        self._accounts: dict[tuple[str, str, str], Account] = {}
        self._gateways: dict[str, dict[str, Heard]] = {}
        for site, gateway in known:
            self._gateways.setdefault(site, {})[gateway] = Heard(None, 0)

    def hear(self, event: GatewayEvent, arrived: int) -> str:
        """Take a heartbeat that the log took at `arrived` (ms): taken or stale."""
        site = self._gateways.setdefault(event.site, {})
        before = site.get(event.gateway)
        if before is not None and before.event is not None and event.at < before.event.at:
            return "stale"
        site[event.gateway] = Heard(event, arrived)
        return "taken"

    def plan(self, plan: RolloutPlan) -> str:
        """Take a plan: taken or full."""
        rollout = self._rollout(plan.rollout)
        if rollout is None:
            return "full"
        rollout.plan = plan
        return "taken"

    def judge(self, verdict: Verdict) -> str:
        """Take a verdict: taken, stale or full."""
        rollout = self._rollout(verdict.rollout)
        if rollout is None:
            return "full"
        return "taken" if rollout.judged(verdict) else "stale"

    def roll_back(self, status: RollbackStatus) -> str:
        """Take a rollback's status: taken or full."""
        rollout = self._rollout(status.rollout)
        if rollout is None:
            return "full"
        rollout.rollback = status
        return "taken"

    def account(self, account: Account) -> str:
        """Take an account: taken or full."""
        key = (account.site, account.gateway, account.boot)
        if key not in self._accounts and len(self._accounts) >= ACCOUNTS_KEPT:
            return "full"
        self._accounts[key] = account
        return "taken"

    def sites(self, now: int) -> list[SiteView]:
        """All sites at time `now` (ms), by name."""
        states = self.devices.states_by_site()
        names = sorted(self._gateways.keys() | states.keys())
        return [site_view(name, self._gateways.get(name, {}), states.get(name, {}), now) for name in names]

    def site(self, name: str, now: int) -> SiteView:
        """One site at time `now` (ms)."""
        return site_view(name, self._gateways.get(name, {}), self.devices.states_of(name), now)

    def gateway_states(self, now: int) -> dict[tuple[str, str], SiteState]:
        """What is heard of each gateway at time `now` (ms)."""
        return {
            (site, name): gateway_state(heard, now)
            for site, gateways in self._gateways.items()
            for name, heard in gateways.items()
        }

    def ledger(self) -> LedgerView:
        """All accounts."""
        return ledger_view(list(self._accounts.values()))

    def _rollout(self, name: str) -> Rollout | None:
        if name not in self.rollouts:
            if len(self.rollouts) >= self._rollouts_kept and not self._make_room():
                return None
            self.rollouts[name] = Rollout(name)
        return self.rollouts[name]

    def _make_room(self) -> bool:
        # Only what has ended may be forgotten: a gate that is asked has to answer.
        ended = [(r.plan.created, r.name) for r in self.rollouts.values() if r.plan and r.plan.state is PlanState.ENDED]
        if ended:
            del self.rollouts[min(ended)[1]]
        return bool(ended)
