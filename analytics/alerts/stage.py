"""The alerts' stage: events in, changes of alerts out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import msgspec

from analytics.alerts import rules
from analytics.alerts.book import Alert, AlertBook, Ended
from analytics.alerts.reading import Reading
from analytics.alerts.rollouts import Rollouts, Standing
from analytics.alerts.ruled import Ruled
from analytics.alerts.sites import Heard, Sites
from analytics.alerts.stage_records import change_records, is_heartbeat
from analytics.alerts.suppression import Dark, Suppression
from ingest.contract import names
from ingest.contract.events import (
    Acknowledgement,
    AlertState,
    MaintenanceWindow,
    Silence,
)
from ingest.contract.topics import (
    ACCOUNTS,
    ACKNOWLEDGEMENTS,
    ANOMALIES,
    CONDITIONS,
    DEVICES,
    INCIDENTS,
    MAINTENANCE,
    PLANS,
    ROLLBACKS,
    SILENCES,
    VERDICTS,
)
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from analytics.alerts.condition import Condition
    from analytics.alerts.config import AlertsConfig
    from analytics.rules.kinds import Rule
    from ingest.contract.events import AlertEvent
    from ingest.contract.records import Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

T = TypeVar("T", bound=msgspec.Struct)

SAVE_MS = 1000
"""How often what led to no change is saved: until then a crash leads to the same records being read again."""


class _State(msgspec.Struct):
    alerts: dict[str, Alert]
    ended: dict[str, Ended]
    heard: dict[str, Heard]
    rollouts: dict[str, Standing]
    silences: dict[str, Silence] = {}
    dark: dict[str, Dark] = {}
    maintenance: dict[str, MaintenanceWindow] = {}


class AlertsStage:
    """Consumes what may be alarming; see `rules`. Every event is taken as its source said it, once."""

    name = "alerts"
    topics = (
        ANOMALIES,
        CONDITIONS,
        DEVICES,
        VERDICTS,
        ROLLBACKS,
        PLANS,
        ACCOUNTS,
        INCIDENTS,
        SILENCES,
        MAINTENANCE,
        ACKNOWLEDGEMENTS,
    )

    def __init__(
        self, config: AlertsConfig, gateways: Gateways, telemetry: Telemetry, written: Sequence[Rule] = ()
    ) -> None:
        self._link, self._gateways, self._telemetry = config.link, gateways, telemetry
        self._ruled = Ruled(written)
        by_rule = self._ruled.configs() | config.built_in()
        told_elsewhere = rules.PARTS if config.incident.enabled and not config.notify_each else ()
        gateways_at = Counter(f"{known.tenant}/{known.site}" for known in gateways)
        self._suppression = Suppression(gateways_at, config.after_dark_s * 1000, config.maintenance)
        self._book = AlertBook(
            by_rule,
            self._annotations,
            config.forget_s * 1000,
            config.flapping,
            self._suppression.by,
            told_elsewhere=told_elsewhere,
            most_bytes=config.alert_bytes,
        )
        self._sites, self._rollouts = Sites(config.site_dark_s), Rollouts()
        self._saved_at, self._unsaved = 0, False
        self._reading = Reading(
            gateways, telemetry, self._book, sites=self._sites, rollouts=self._rollouts, ruled=self._ruled
        )

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take events, let time pass, and report every change."""
        self._sites.listen(now, len(records))
        changes = self._take([record for record in records if is_heartbeat(record)], now)
        for condition in self._sites.dark(now):
            changes += self._observe(condition, now)
        # Whose site is dark is known before anything of its devices is looked at.
        changes += self._suppress(changes, now)
        changes += self._take([record for record in records if not is_heartbeat(record)], now)
        changes += self._book.tick(now)
        changes += self._suppress(changes, now)
        self._show()
        changed = self._is_time_to_save(now, taken=bool(records), spoken=bool(changes))
        return StepResult(
            [record for event, trace in changes for record in change_records(event, trace)], changed=changed
        )

    def _take(self, records: Sequence[Record], now: int) -> list[tuple[AlertEvent, str]]:
        changes: list[tuple[AlertEvent, str]] = []
        for record in records:
            if record.topic in {SILENCES, MAINTENANCE, ACKNOWLEDGEMENTS}:
                changes += self._said_by_people(record, now)
                continue
            for condition in self._reading.conditions(record):
                changes += self._observe(condition, now)
        return changes

    def _observe(self, condition: Condition, now: int) -> list[tuple[AlertEvent, str]]:
        all_of_them = (condition, *self._ruled.derived(condition))
        return [change for one in all_of_them for change in self._book.observe(one, now)]

    def _said_by_people(self, record: Record, now: int) -> list[tuple[AlertEvent, str]]:
        if record.topic == SILENCES:
            silence = self._reading.read(record, Silence)
            if silence is not None:
                self._suppression.silences.put(silence)
            return []
        if record.topic == MAINTENANCE:
            window = self._reading.read(record, MaintenanceWindow)
            if window is not None:
                self._suppression.maintenance.take(window)
            return []
        said = self._reading.read(record, Acknowledgement)
        return self._book.acknowledge(said, now) if said is not None else []

    def _suppress(self, changes: Sequence[tuple[AlertEvent, str]], now: int) -> list[tuple[AlertEvent, str]]:
        if any(event.name == rules.SITE_DARK for event, _ in changes):
            self._suppression.see_sites(self._book.alerts, now)
        return self._book.review(now) if self._suppression.changed(now) else []

    def snapshot(self) -> Mapping[str, bytes]:
        """All alerts, when gateways were heard, and how rollouts stand."""
        state = _State(
            self._book.alerts,
            self._book.ended,
            self._sites.heard,
            self._rollouts.standings,
            self._suppression.silences.named(),
            self._suppression.dark,
            self._suppression.maintenance.made.named(),
        )
        return {"state": msgspec.msgpack.encode(state)}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue; alerts of gateways that are not in the registry any more come to their end."""
        if "state" not in parts:
            return
        state = msgspec.msgpack.decode(parts["state"], type=_State)
        self._book.restore(state.alerts, state.ended)
        self._suppression.silences.keep(state.silences.values())
        self._suppression.maintenance.restore(state.maintenance.values())
        self._suppression.dark = state.dark
        self._sites.heard, self._rollouts.standings = state.heard, state.rollouts
        self._leave_to_the_registry()

    def _leave_to_the_registry(self) -> None:
        gateways = {f"{known.tenant}/{known.site}/{known.gateway}" for known in self._gateways}
        self._sites.heard = {name: heard for name, heard in self._sites.heard.items() if name in gateways}
        sites = {f"{known.tenant}/{known.site}" for known in self._gateways}
        self._book.end(lambda alert: not _is_served(alert, sites, gateways))

    def _annotations(self, alert: Alert) -> dict[str, str]:
        annotations = alert.notes | {"summary": alert.summary, "runbook": rules.runbook_of(alert.name)}
        if self._link and (alert.name == rules.INCIDENT or alert.evidence):
            annotations["incident_url"] = f"{self._link.rstrip('/')}/v1/incidents{_incidents_of(alert)}"
        return annotations | ({"link": self._link} if self._link else {}) | self._ruled.annotations(alert)

    def _is_time_to_save(self, now: int, *, taken: bool, spoken: bool) -> bool:
        self._unsaved |= taken
        is_due = spoken or (self._unsaved and abs(now - self._saved_at) >= SAVE_MS)
        if is_due:
            self._unsaved, self._saved_at = False, now
        return is_due

    def _show(self) -> None:
        counts = self._book.counts()
        for name, number in self._book.passed_over.items():
            self._telemetry.count(names.ALERTS_PASSED_OVER, number, name=name)
        self._book.passed_over.clear()
        for state in AlertState:
            if state is not AlertState.RESOLVED:
                self._telemetry.gauge(names.ALERTS_ACTIVE, counts[state], state=state)


def _incidents_of(alert: Alert) -> str:
    if alert.name == rules.INCIDENT:
        return f"/{alert.labels['incident']}"
    place = {name: value for name, value in alert.evidence.items() if name in {"site", "device"}}
    return f"?{urlencode(place)}"


def _is_served(alert: Alert, sites: Container[str], gateways: Container[str]) -> bool:
    site = f"{alert.tenant}/{alert.labels.get('site')}"
    gateway = f"{site}/{alert.labels.get('gateway')}"
    return ("site" not in alert.labels or site in sites) and ("gateway" not in alert.labels or gateway in gateways)
