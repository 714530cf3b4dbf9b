"""What makes alerts tell nobody: silences, maintenance windows, and a dark site that explains what its devices do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules
from analytics.alerts.maintenance import Maintenance
from analytics.alerts.matching import matchable, matches
from analytics.by_tenant import Bounds, ByTenant
from ingest.contract.events.alarms import MOST_SILENCES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.alerts.book import Alert
    from analytics.alerts.maintenance import MaintenanceConfig
    from ingest.contract.events import Silence

MOST_HEEDED = 20_000
"""So many silences are heeded at the most, of all tenants together."""


class Dark(msgspec.Struct):
    """A site all of whose gateways are dark: the alert that says so, and how long it still explains (ms; 0: it goes on)."""

    fingerprint: str
    until: int = 0


class Suppression:
    """Asked for each alert; `changed` says when they must all be asked again."""

    def __init__(
        self, gateways_at: Mapping[str, int], grace_ms: float, maintenance: Sequence[MaintenanceConfig] = ()
    ) -> None:
        self.maintenance = Maintenance(maintenance)
        self.silences: ByTenant[Silence] = ByTenant(Bounds(MOST_SILENCES, MOST_HEEDED), lambda silence: silence.ends_at)
        self.dark: dict[str, Dark] = {}
        self._gateways_at, self._grace_ms = gateways_at, grace_ms
        self._holding: frozenset[str] = frozenset()

    def see_sites(self, alerts: Mapping[str, Alert], now: int) -> None:
        """Which sites are dark now: those of whose gateways none is heard."""
        found: dict[str, list[str]] = {}
        for fingerprint, alert in alerts.items():
            if alert.name == rules.SITE_DARK and alert.life.is_open:
                found.setdefault(f"{alert.tenant}/{alert.labels['site']}", []).append(fingerprint)
        dark = {site: min(prints) for site, prints in found.items() if len(prints) >= self._gateways_at.get(site, 1)}
        for site, fingerprint in dark.items():
            self.dark[site] = Dark(fingerprint)
        for site, known in self.dark.items():
            # Its devices get time to be heard again before anybody is told of them.
            if site not in dark and not known.until:
                known.until = round(now + self._grace_ms)

    def changed(self, now: int) -> bool:
        """Whether what suppresses is other than when this was asked last."""
        self.dark = {site: dark for site, dark in self.dark.items() if not dark.until or now < dark.until}
        if any(silence.ends_at <= now for silence in self.silences):
            self.silences.keep([silence for silence in self.silences if now < silence.ends_at])
        holding = {f"{silence.tenant}/{silence.id}" for silence in self.silences if silence.starts_at <= now}
        before, self._holding = self._holding, (frozenset(holding) | self.dark.keys() | self.maintenance.look(now))
        return before != self._holding

    def by(self, alert: Alert, now: int) -> str:
        """Who suppresses this alert: `parent:FINGERPRINT`, `silence:ID`, `maintenance:ID`, or nobody."""
        labels = alert.about | alert.labels
        dark = self.dark.get(f"{alert.tenant}/{labels.get('site')}")
        if dark is not None and ("device" in labels or alert.name == rules.INCIDENT):
            return f"parent:{dark.fingerprint}"
        silences = self.silences.of(alert.tenant)
        if not silences and not self.maintenance.open:
            return ""
        labels = matchable(alert.name, alert.tenant, alert.severity, labels)
        again = self.maintenance.by(alert.tenant, labels)
        if again:
            return f"maintenance:{again}"
        for silence in silences.values():
            if silence.starts_at <= now < silence.ends_at and matches(silence.matchers, labels):
                return f"{silence.kind.value}:{silence.id}"
        return ""
