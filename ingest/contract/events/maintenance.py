"""Maintenance windows that people make: once, or again and again, by a local clock."""

from __future__ import annotations

import datetime as dt
import math
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ingest.contract.events.alarms import Matcher

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST_S = 7 * 86_400.0
MOST_WINDOWS = 500
"""A tenant's windows that hold or will."""
_DAY_S = 86_400
_FIRST_YEAR, _LAST_YEAR = 1971, 9000
"""Beyond these clocks and calendars give up."""
_AHEAD = 15
"""Days in which one that comes again comes, calendars that leave out a day included."""


class Opening(NamedTuple):
    """One time that a window is open, in ms since the epoch: at `start`, and not any more at `end`."""

    start: int
    end: int


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `begins` (hh:mm by the clock of `timezone`) on, for `lasts_s`: on `date` (yyyy-mm-dd), or again on each of `days`.

    `begins` is the clock's: where it is set forward or back the window keeps its length. What a version does not know it refuses,
    and does not heed: else it might be open at more times than was meant.
    """

    begins: str
    lasts_s: float
    timezone: str = "UTC"
    days: list[Weekday] = []
    date: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        begins_of(self.begins)
        zone_of(self.timezone)
        if not (math.isfinite(self.lasts_s) and 0 < self.lasts_s <= LONGEST_S):
            raise ValueError(f"lasts_s is {self.lasts_s:g}, expected more than 0 and at most a week")
        if bool(self.days) == bool(self.date):
            raise ValueError(f"needs either days or date, found {'both' if self.date else 'neither'}")
        if self.date:
            _date_of(self.date)

    def opening(self, now: int) -> Opening | None:
        """When it is open at `now` (ms), else when it opens next; None when never again."""
        zone, begins = zone_of(self.timezone), begins_of(self.begins)
        for day in self._days_about(dt.datetime.fromtimestamp(now / 1000, zone).date()):
            start = round(dt.datetime.combine(day, begins, zone).timestamp() * 1000)
            end = start + round(self.lasts_s * 1000)
            if now < end:
                return Opening(start, end)
        return None

    def _days_about(self, today: dt.date) -> list[dt.date]:
        if self.date:
            return [_date_of(self.date)]
        about = (today + dt.timedelta(days=n) for n in range(-int(self.lasts_s // _DAY_S) - 1, _AHEAD))
        return [day for day in about if WEEKDAYS[day.weekday()] in self.days]


class MaintenanceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.maintenance.v1`, key id: alerts that match all of `matchers` tell nobody while `hours` are.

    `ends_at` (ms): it does not come any more from then on; 0: until it is ended. `by` said so `at` (ms).
    """

    id: str
    tenant: str
    matchers: list[Matcher]
    hours: Hours
    by: str
    at: int
    ends_at: int = 0
    comment: str = ""

    def opening(self, now: int) -> Opening | None:
        """When it is open at `now` (ms), else when it opens next; None when never again."""
        found = self.hours.opening(now)
        if found is None or not self.ends_at:
            return found
        return Opening(found.start, min(found.end, self.ends_at)) if max(now, found.start) < self.ends_at else None

    def is_over(self, now: int) -> bool:
        """Whether it never comes again."""
        return self.opening(now) is None


def begins_of(text: str, name: str = "begins") -> dt.time:
    """A time of day. Raises ValueError, in which it is called `name`."""
    try:
        return dt.datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone yet
    except ValueError as error:
        raise ValueError(f"{name} is {text[:20]!r}, expected hh:mm") from error


def zone_of(name: str) -> ZoneInfo:
    """A time zone. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"timezone is {name[:40]!r}, expected one like Europe/Berlin, or UTC") from error


def _date_of(text: str) -> dt.date:
    try:
        found = dt.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"date is {text[:20]!r}, expected yyyy-mm-dd") from error
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"date is {text[:20]!r}, expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found
