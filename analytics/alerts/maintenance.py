"""Maintenance that comes again: at a local time of some days of the week, for so long."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from analytics.alerts.checks import require_positive
from analytics.alerts.matching import matches, read_matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOST_S = 7 * 86_400.0


class MaintenanceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts of `tenant` that match all of `matchers` tell nobody from `at` (hh:mm, by the clock of `timezone`) on, for `lasts_s`.

    On each of `days`, by their local names. `at` is the clock's: where it is set forward or back the window keeps its length.
    """

    name: str
    tenant: str
    matchers: list[str]
    at: str
    lasts_s: float
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = msgspec.field(
        default_factory=lambda: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    )
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not self.matchers:
            raise ValueError("matchers is empty: that would silence everything; write alertname=* if that is meant")
        for text in self.matchers:
            read_matcher(text)
        require_positive(lasts_s=self.lasts_s)
        if self.lasts_s > _MOST_S:
            raise ValueError(f"lasts_s is {self.lasts_s:g}, expected at most a week")
        if not self.days:
            raise ValueError("days is empty, expected at least one of mon … sun")
        self.begins()
        self.zone()

    def begins(self) -> time:
        """The local time at which it begins. Raises ValueError."""
        try:
            return datetime.strptime(self.at, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone yet
        except ValueError as error:
            raise ValueError(f"at is {self.at!r}, expected hh:mm") from error

    def zone(self) -> ZoneInfo:
        """Raises ValueError."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timezone is {self.timezone!r}, expected one like Europe/Berlin, or UTC") from error


class Maintenance:
    """All windows that come again; `look` says at what time is asked, then `by` names the one that an alert is in."""

    def __init__(self, windows: Sequence[MaintenanceConfig]) -> None:
        self._windows = [(one, [read_matcher(text) for text in one.matchers]) for one in windows]
        self.open: frozenset[str] = frozenset()

    def look(self, now: int) -> frozenset[str]:
        """The names of those that are open at `now` (ms)."""
        self.open = frozenset(one.name for one, _ in self._windows if is_open(one, now))
        return self.open

    def by(self, tenant: str, labels: Mapping[str, str]) -> str:
        """The name of an open window for such an alert, or ""."""
        for one, matchers in self._windows if self.open else ():
            if one.name in self.open and one.tenant == tenant and matches(matchers, labels):
                return one.name
        return ""


def is_open(window: MaintenanceConfig, now: int) -> bool:
    """Whether it is maintenance at `now` (ms since the epoch)."""
    zone, begins = window.zone(), window.begins()
    today = datetime.fromtimestamp(now / 1000, zone).date()
    for back in range(int(window.lasts_s // 86_400) + 2):
        day = today - timedelta(days=back)
        if _DAYS[day.weekday()] in window.days:
            began = datetime.combine(day, begins, zone).timestamp()
            if began <= now / 1000 < began + window.lasts_s:
                return True
    return False
