"""Maintenance windows that people make: once or again and again, until they come no more or are ended."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.plan_mistakes import Mistake
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.silences import SOURCE, check_text, matcher_mistakes
from ingest.contract.events import MaintenanceWindow, Matcher
from ingest.contract.events.maintenance import MOST_WINDOWS, Hours
from ingest.contract.records import LATEST_MS, event_record
from ingest.contract.topics import MAINTENANCE

if TYPE_CHECKING:
    from dashboards.api.auth import Principal
    from dashboards.api.projection import Projection
    from ingest.runtime.log.port import Log
    from ingest.runtime.telemetry import Telemetry

MOST_KEPT = 2 * MOST_WINDOWS
"""So many are kept for a tenant; those that ended first make room."""


class NewMaintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts that match all of `matchers` tell nobody in these `hours`, until `ends_at` (ms; 0: until it is ended)."""

    matchers: list[Matcher]
    hours: Hours
    ends_at: int = 0
    comment: str = ""


class MaintenanceView(MaintenanceWindow, frozen=True, kw_only=True):
    """A window, and from when to when (ms) it is open, or will be next; both are 0 when it does not come any more."""

    opens_at: int = 0
    closes_at: int = 0


class MaintenanceBook:
    """The windows of one tenant, the newest state of each."""

    def __init__(self) -> None:
        self._windows: dict[str, MaintenanceWindow] = {}
        self._views: dict[str, tuple[int, MaintenanceView]] = {}

    def put(self, window: MaintenanceWindow) -> str:
        """Take a window as it was made or ended: taken or stale."""
        before = self._windows.get(window.id)
        if before is not None and window.at < before.at:
            return "stale"
        self._windows[window.id] = window
        self._views.pop(window.id, None)
        if len(self._windows) > MOST_KEPT:
            first = min(self._windows.values(), key=lambda one: (one.ends_at or LATEST_MS, one.at)).id
            del self._windows[first]
            self._views.pop(first, None)
        return "taken"

    def get(self, name: str, now: int) -> MaintenanceView | None:
        """One of them at `now` (ms)."""
        return self._view(self._windows[name], now) if name in self._windows else None

    def list(self, now: int, *, over_too: bool = False) -> list[MaintenanceView]:
        """Those that are open at `now` (ms) or will be, the next ones first, then, if asked for, those that come no more."""
        views = (self._view(one, now) for one in self._windows.values())
        return sorted((one for one in views if over_too or one.closes_at), key=place_of)

    def _view(self, window: MaintenanceWindow, now: int) -> MaintenanceView:
        # Calendars are slow: what was seen once is so until the window closes.
        looked, seen = self._views.get(window.id, (now, None))
        if seen is None or now < looked or 0 < seen.closes_at <= now:
            seen = _view(window, now)
            self._views[window.id] = now, seen
        return seen


def place_of(window: MaintenanceView) -> tuple[int, str]:
    """Where it stands in a list."""
    return window.opens_at or LATEST_MS, window.id


class MaintenanceWriter:
    """Writes to the topic what people do about windows."""

    def __init__(self, log: Log, projection: Projection, telemetry: Telemetry) -> None:
        self._log, self._projection, self._telemetry = log, projection, telemetry
        self._one_by_one = asyncio.Lock()

    async def make(self, new: NewMaintenance, who: Principal, now: int, trace: str | None) -> MaintenanceView:
        """It holds from its next hours on. Raises ProblemError, LogUnavailableError."""
        window = MaintenanceWindow(
            id=secrets.token_hex(6),
            tenant=who.tenant,
            matchers=new.matchers,
            hours=new.hours,
            by=who.name,
            at=now,
            ends_at=new.ends_at,
            comment=new.comment,
        )
        _check(window, now)
        async with self._one_by_one:
            if len(self._projection.view(who.tenant).maintenance.list(now)) >= MOST_WINDOWS:
                raise ProblemError(409, "too-many-windows", f"there are {MOST_WINDOWS} windows already: end some")
            await self._append(window, trace)
        return _view(window, now)

    async def end(self, name: str, who: Principal, now: int, trace: str | None) -> MaintenanceView:
        """It ends now; one that is over stays as it is. Raises ProblemError, LogUnavailableError."""
        known = self._projection.view(who.tenant).maintenance.get(name, now)
        if known is None:
            raise unknown("maintenance window", name)
        if not known.closes_at:
            return known
        window = MaintenanceWindow(
            id=name,
            tenant=who.tenant,
            matchers=known.matchers,
            hours=known.hours,
            by=who.name,
            at=max(now, known.at),
            ends_at=now,
            comment=known.comment,
        )
        await self._append(window, trace)
        return _view(window, now)

    async def _append(self, window: MaintenanceWindow, trace: str | None) -> None:
        name, at = window.id, window.at
        with self._telemetry.span("api.alerts.maintenance", parent=trace) as span:
            record = event_record(
                MAINTENANCE, name, window, event_id=f"{name}:{at}", source=SOURCE, time=at, trace=span
            )
            await self._log.append([record])
        # Who wrote it sees it at once; the topic says the same a moment later.
        self._projection.view(window.tenant).maintenance.put(window)


def _view(window: MaintenanceWindow, now: int) -> MaintenanceView:
    opening = window.opening(now)
    known = {name: getattr(window, name) for name in MaintenanceWindow.__struct_fields__}
    return MaintenanceView(**known, opens_at=opening.start if opening else 0, closes_at=opening.end if opening else 0)


def _check(window: MaintenanceWindow, now: int) -> None:
    mistakes = matcher_mistakes(window.matchers)
    if not 0 <= window.ends_at <= LATEST_MS:
        mistakes.append(Mistake("$.ends_at", "expected a time (ms), or 0: until it is ended"))
    elif window.is_over(now):
        mistakes.append(Mistake("$.hours", "expected hours that come before ends_at and are not over"))
    if mistakes:
        raise ProblemError(422, "bad-maintenance", "the maintenance window has mistakes", mistakes)
    check_text(window.comment)
