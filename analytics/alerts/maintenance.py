"""Maintenance windows: those of the configuration, which come again, and those that people make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.checks import require_positive
from analytics.alerts.matching import matches, read_matcher
from analytics.by_tenant import Bounds, ByTenant
from ingest.contract.events.maintenance import MOST_WINDOWS, WEEKDAYS, Hours, MaintenanceWindow, Weekday, begins_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ingest.contract.events.maintenance import Opening

_NEVER = 1 << 62
MOST_MADE = 10_000
"""So many that people made are heeded at the most, of all tenants together."""


class MaintenanceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts of `tenant` that match all of `matchers` tell nobody from `at` (hh:mm, by the clock of `timezone`) on, for `lasts_s`.

    On each of `days`, by their local names. `at` is the clock's: where it is set forward or back the window keeps its length.
    """

    name: str
    tenant: str
    matchers: list[str]
    at: str
    lasts_s: float
    days: list[Weekday] = msgspec.field(default_factory=lambda: list(WEEKDAYS))
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not self.matchers:
            raise ValueError("matchers is empty: that would silence everything; write alertname=* if that is meant")
        for text in self.matchers:
            read_matcher(text)
        require_positive(lasts_s=self.lasts_s)
        if not self.days:
            raise ValueError("days is empty, expected at least one of mon … sun")
        begins_of(self.at, "at")
        self.hours()

    def hours(self) -> Hours:
        """When it is. Raises ValueError."""
        return Hours(begins=self.at, lasts_s=self.lasts_s, days=self.days, timezone=self.timezone)

    def window(self) -> MaintenanceWindow:
        """As one that people made, called by its name."""
        matchers = [read_matcher(text) for text in self.matchers]
        return MaintenanceWindow(
            id=self.name, tenant=self.tenant, matchers=matchers, hours=self.hours(), by="", at=0, comment=""
        )


class Maintenance:
    """All windows; `look` says at what time is asked, then `by` names the one that an alert is in."""

    def __init__(self, configured: Sequence[MaintenanceConfig] = ()) -> None:
        self._configured = {f"{one.tenant}/{one.name} of the configuration": one.window() for one in configured}
        self.made: ByTenant[MaintenanceWindow] = ByTenant(Bounds(MOST_WINDOWS, MOST_MADE), lambda window: window.at)
        self.open: frozenset[str] = frozenset()
        self._openings: dict[str, Opening] = {}
        self._by_tenant: dict[str, list[MaintenanceWindow]] = {}
        self._looked, self._due = 0, 0

    def take(self, window: MaintenanceWindow) -> None:
        """A window was made, changed or ended. Where there are too many, the oldest of the tenant that has most makes room."""
        self.made.put(window)
        self._openings.pop(f"{window.tenant}/{window.id}", None)
        self._due = 0

    def restore(self, made: Iterable[MaintenanceWindow]) -> None:
        """Continue with these."""
        self.made.keep(made)
        self._openings, self._due = {}, 0

    def look(self, now: int) -> frozenset[str]:
        """Those that are open at `now` (ms); they are looked at only when one may have opened or closed."""
        if not self._looked <= now < self._due:
            self._look_at_all(now)
        return self.open

    def by(self, tenant: str, labels: Mapping[str, str]) -> str:
        """The name of an open window for such an alert, or ""."""
        windows = self._by_tenant.get(tenant, ())
        return next((one.id for one in windows if matches(one.matchers, labels)), "")

    def _look_at_all(self, now: int) -> None:
        known = self._openings if now >= self._looked else {}
        made = self.made.named()
        windows = self._configured | made
        fresh = {name for name in windows if name not in known or known[name].end <= now}
        found = {name: windows[name].opening(now) if name in fresh else known[name] for name in windows}
        self._openings = {name: opening for name, opening in found.items() if opening is not None}
        self.made.keep([window for name, window in made.items() if name in self._openings])
        self._show_open({name: windows[name] for name, opening in self._openings.items() if opening.start <= now})
        times = (one.end if one.start <= now else one.start for one in self._openings.values())
        self._looked, self._due = now, min(times, default=_NEVER)

    def _show_open(self, windows: Mapping[str, MaintenanceWindow]) -> None:
        self.open, self._by_tenant = frozenset(windows), {}
        for window in windows.values():
            self._by_tenant.setdefault(window.tenant, []).append(window)
