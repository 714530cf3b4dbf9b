"""Records to views: what the topics say, in memory, tenant by tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from dashboards.api.ledger import Account
from dashboards.api.past import letter_view
from dashboards.api.rules import RuleBook
from dashboards.api.views import TenantView
from ingest.contract.batch_checks import BadBatchError
from ingest.contract.commands import RefusedCommandError
from ingest.contract.events import (
    AlertEvent,
    AnomalyEvent,
    AuditEntry,
    DeviceEvent,
    FeedbackEvent,
    GatewayEvent,
    IncidentEvent,
    MaintenanceWindow,
    RollbackStatus,
    RolloutPlan,
    RuleEvent,
    Silence,
    Verdict,
)
from ingest.contract.records import read_event
from ingest.contract.requests import open_request
from ingest.contract.samples import decode_samples
from ingest.contract.topics import (
    ACCOUNTS,
    ALERT_HISTORY,
    ALERTS,
    ANOMALIES,
    AUDIT,
    DEVICES,
    FEEDBACK,
    INCIDENTS,
    MAINTENANCE,
    PLANS,
    REQUESTS,
    ROLLBACKS,
    ROLLUPS,
    RULES,
    SAMPLES,
    SILENCES,
    VERDICTS,
    dead,
)
from ingest.runtime.gateways import UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from dashboards.api.config import ApiConfig
    from ingest.contract.records import Record
    from ingest.runtime.gateways import Gateways

DIED = {dead(topic): topic for topic in (ROLLUPS, SAMPLES)}
"""Where dead letters are read from, and where they had been."""
TOPICS = (
    *(DEVICES, ALERTS, PLANS, VERDICTS, ROLLBACKS, ACCOUNTS, ANOMALIES, INCIDENTS, FEEDBACK, REQUESTS, SAMPLES),
    *(SILENCES, MAINTENANCE, AUDIT, RULES, ALERT_HISTORY, *DIED),
)


class Subject(NamedTuple):
    """What a record was about: `kind` is device, site, alert, silence, maintenance, rollout, account, anomaly or incident; `key` names the one within it."""

    tenant: str
    kind: str
    key: str


class Applied(NamedTuple):
    """What became of a record (taken, stale, full or the reason why not) and what it was about."""

    outcome: str
    subject: Subject | None = None


MALFORMED = Applied("malformed")
IGNORED = Applied("ignored")

T = TypeVar("T", bound=msgspec.Struct)


class Projection:
    """All tenants' views. `gateways` says whose events, heartbeats and samples are believed, `keys` whose requests."""

    def __init__(
        self, config: ApiConfig, gateways: Gateways, keys: Mapping[str, Ed25519PublicKey] | None = None
    ) -> None:
        self._config, self._gateways, self._keys = config, gateways, keys or {}
        self._views: dict[str, TenantView] = {}
        self.rules = RuleBook()
        self._apply = {
            DEVICES: self._fleet,
            ALERTS: self._alert,
            PLANS: self._plan,
            VERDICTS: self._verdict,
            ROLLBACKS: self._rollback,
            ACCOUNTS: self._account,
            ANOMALIES: self._anomaly,
            INCIDENTS: self._incident,
            FEEDBACK: self._feedback,
            SILENCES: self._silence,
            MAINTENANCE: self._maintenance,
            AUDIT: self._audit,
            RULES: self._rule,
            ALERT_HISTORY: self._alert_change,
            REQUESTS: self._request,
            SAMPLES: self._samples,
        } | dict.fromkeys(DIED, self._dead_letter)

    def view(self, tenant: str) -> TenantView:
        """A tenant's view, empty when nothing was heard of it."""
        view = self._views.get(tenant)
        if view is None:
            known = [(g.site, g.gateway) for g in self._gateways if g.tenant == tenant]
            view = self._views[tenant] = TenantView(tenant, self._config, known)
        return view

    def views(self) -> Iterable[TenantView]:
        """Every tenant's view."""
        return self._views.values()

    def apply(self, record: Record) -> Applied:
        """Take one record; never raises, whatever the record holds."""
        return self._apply[record.topic](record)

    def _fleet(self, record: Record) -> Applied:
        try:
            signer = self._gateways.verify(record)
            event = read_event(record, DeviceEvent) or read_event(record, GatewayEvent)
            if event is None:
                return MALFORMED
            self._gateways.check_origin(signer, event.tenant, event.site, event.gateway)
        except UnverifiedError as error:
            return Applied(error.reason)
        view = self.view(signer.tenant)
        if isinstance(event, DeviceEvent):
            subject = Subject(signer.tenant, "device", f"{event.site}/{event.device}")
            outcome = view.devices.put(event)
            return Applied(view.changes.put(event) if outcome == "taken" else outcome, subject)
        return Applied(view.hear(event, record.timestamp), Subject(signer.tenant, "site", event.site))

    def _alert(self, record: Record) -> Applied:
        if record.value is None:
            return self._forget_alert(record.key.decode("utf-8", "replace"))
        alert = _read(record, AlertEvent)
        if alert is None:
            return MALFORMED
        return Applied(self.view(alert.tenant).alerts.put(alert), Subject(alert.tenant, "alert", alert.fingerprint))

    def _forget_alert(self, fingerprint: str) -> Applied:
        for view in self._views.values():
            if view.alerts.remove(fingerprint):
                return Applied("taken", Subject(view.tenant, "alert", fingerprint))
        return IGNORED

    def _plan(self, record: Record) -> Applied:
        plan = _read(record, RolloutPlan)
        return self.take_plan(plan) if plan else MALFORMED

    def take_plan(self, plan: RolloutPlan) -> Applied:
        """Take a plan: from the topic, or as soon as it was written to it."""
        return Applied(self.view(plan.tenant).plan(plan), Subject(plan.tenant, "rollout", plan.rollout))

    def _verdict(self, record: Record) -> Applied:
        verdict = _read(record, Verdict)
        if verdict is None:
            return MALFORMED
        return Applied(self.view(verdict.tenant).judge(verdict), Subject(verdict.tenant, "rollout", verdict.rollout))

    def _rollback(self, record: Record) -> Applied:
        status = _read(record, RollbackStatus)
        if status is None:
            return MALFORMED
        return Applied(self.view(status.tenant).roll_back(status), Subject(status.tenant, "rollout", status.rollout))

    def _account(self, record: Record) -> Applied:
        account = _read(record, Account)
        if account is None:
            return MALFORMED
        return Applied(self.view(account.tenant).account(account), Subject(account.tenant, "account", ""))

    def _anomaly(self, record: Record) -> Applied:
        event = _read(record, AnomalyEvent)
        if event is None:
            return MALFORMED
        subject = Subject(event.tenant, "anomaly", f"{event.site}/{event.device}")
        return Applied(self.view(event.tenant).anomalies.put(event), subject)

    def _incident(self, record: Record) -> Applied:
        if record.value is None:
            return self._forget_incident(record.key.decode("utf-8", "replace"))
        event = _read(record, IncidentEvent)
        if event is None:
            return MALFORMED
        return Applied(self.view(event.tenant).incidents.put(event), Subject(event.tenant, "incident", event.incident))

    def _forget_incident(self, name: str) -> Applied:
        for view in self._views.values():
            if view.incidents.remove(name):
                return Applied("taken", Subject(view.tenant, "incident", name))
        return IGNORED

    def _feedback(self, record: Record) -> Applied:
        event = _read(record, FeedbackEvent)
        return Applied(self.view(event.tenant).feedback.put(event)) if event else MALFORMED

    def _silence(self, record: Record) -> Applied:
        event = _read(record, Silence)
        if event is None:
            return MALFORMED
        return Applied(self.view(event.tenant).silences.put(event), Subject(event.tenant, "silence", event.id))

    def _maintenance(self, record: Record) -> Applied:
        event = _read(record, MaintenanceWindow)
        if event is None:
            return MALFORMED
        subject = Subject(event.tenant, "maintenance", event.id)
        return Applied(self.view(event.tenant).maintenance.put(event), subject)

    def _audit(self, record: Record) -> Applied:
        entry = _read(record, AuditEntry)
        return Applied(self.view(entry.tenant).audit.put(entry)) if entry else MALFORMED

    def _rule(self, record: Record) -> Applied:
        if record.value is None:
            return Applied("taken") if self.rules.remove(record.key.decode("utf-8", "replace")) else IGNORED
        rule = _read(record, RuleEvent)
        return Applied(self.rules.put(rule)) if rule else MALFORMED

    def _alert_change(self, record: Record) -> Applied:
        event = _read(record, AlertEvent)
        return Applied(self.view(event.tenant).alert_history.put(event)) if event else MALFORMED

    def _dead_letter(self, record: Record) -> Applied:
        # Whose it is says its signature alone: what nobody known has signed is shown to no tenant.
        try:
            signer = self._gateways.verify(record)
        except UnverifiedError as error:
            return Applied(error.reason)
        letter = letter_view(record, DIED[record.topic], signer.site, signer.gateway)
        return Applied(self.view(signer.tenant).dead_letters.put(letter))

    def _request(self, record: Record) -> Applied:
        # Those that another key signed are another API's.
        try:
            request = open_request(record.value or b"", self._keys)
        except RefusedCommandError as error:
            return Applied(error.reason)
        return Applied(self.view(request.tenant).pulls.ask(request))

    def _samples(self, record: Record) -> Applied:
        try:
            signer, value = self._gateways.verify(record), record.value or b""
            chunk = decode_samples(value)
            self._gateways.check_origin(signer, *chunk.origin[:3])
        except (UnverifiedError, BadBatchError) as error:
            return Applied(error.reason)
        return Applied(self.view(signer.tenant).pulls.take(chunk, value))


def _read(record: Record, kind: type[T]) -> T | None:
    return read_event(record, kind)
