"""Maintenance windows by a local clock, once or again and again: made, listed, removed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click
import msgspec

from analytics.alerts.maintenance import MaintenanceConfig
from analytics.alerts.matching import matcher_text, read_matcher
from analytics.rules.spans import span_text
from compose.cli.alerts_people import AS_JSON, BY, COMMENT, CONFIG, append, event_on, every
from compose.cli.durations import Duration
from compose.cli.ending import fail, refuse
from compose.cli.tenants import require_known
from ingest.contract.events import MaintenanceWindow
from ingest.contract.events.maintenance import MOST_WINDOWS, WEEKDAYS, Hours
from ingest.contract.records import rfc3339
from ingest.contract.topics import MAINTENANCE
from ingest.runtime.clock import SystemClock
from ingest.runtime.config import ConfigError, load_config

if TYPE_CHECKING:
    from pathlib import Path

DAILY = "daily"
_OPTIONS = {"begins": "--at", "lasts_s": "--for in seconds", "date": "--date", "timezone": "--timezone"}


class _Alerts(msgspec.Struct, frozen=True):
    maintenance: list[MaintenanceConfig] = []


class _Analytics(msgspec.Struct, frozen=True):
    alerts: _Alerts = _Alerts()


class _Configured(msgspec.Struct, frozen=True):
    analytics: _Analytics = _Analytics()


@click.group()
def maintenance() -> None:
    """Maintenance windows by a local clock, once or again and again: alerts that match tell nobody while one is open.

    \b
    Examples:
      tidegate alerts maintenance add analytics.toml site=north --tenant acme --days sat,sun --at 02:00 --for 2h
      tidegate alerts maintenance list analytics.toml
      tidegate alerts maintenance remove analytics.toml 9a41c0d2e7f3
    """


@maintenance.command()
@CONFIG
@click.argument("matchers", nargs=-1, required=True)
@click.option("--tenant", required=True, help="Whose alerts: one that has gateways in CONFIG.")
@click.option("--at", "begins", required=True, metavar="HH:MM", help="When it begins, by the clock of --timezone.")
@click.option("--for", "lasts", type=Duration(), required=True, help="How long, at most a week: 90s, 30m, 2h.")
@click.option("--days", default="", help="It comes again on these: mon,tue,wed,thu,fri,sat,sun, or daily.")
@click.option("--date", default="", metavar="YYYY-MM-DD", help="It comes once, on this day.")
@click.option("--timezone", default="UTC", show_default=True, help="For example Europe/Berlin.")
@BY
@COMMENT
@AS_JSON
def add(
    config: Path,
    matchers: tuple[str, ...],
    *,
    tenant: str,
    lasts: float,
    by: str,
    comment: str,
    as_json: bool,
    **hours: str,
) -> None:
    """Make a maintenance window for alerts that match all MATCHERS (label=pattern, label!=pattern); prints its id.

    What still holds when it closes is told then. Where the clock is set forward or back it keeps its length.

    \b
    Examples:
      tidegate alerts maintenance add analytics.toml site=north --tenant acme --days sat --at 02:00 --for 2h --timezone Europe/Berlin
      tidegate alerts maintenance add analytics.toml site=north device=pump-* --tenant acme --date 2026-12-01 --at 22:00 --for 45m
    """
    now = SystemClock().now_ms()
    try:
        read, when = [read_matcher(text) for text in matchers], _hours(lasts, **hours)
    except (ValueError, msgspec.ValidationError) as error:
        refuse(_as_options(str(error)))
    require_known(config, tenant)
    window = MaintenanceWindow(
        id=secrets.token_hex(6), tenant=tenant, matchers=read, hours=when, by=by, at=now, comment=comment
    )
    if window.opening(now) is None:
        refuse(f"{when.date} {when.begins} ({when.timezone}) and what follows is over already")
    if sum(one.tenant == tenant and one.opening(now) is not None for one in _made(config)) >= MOST_WINDOWS:
        fail(f"{tenant} has {MOST_WINDOWS} windows already: remove some")
    append(config, event_on(MAINTENANCE, window.id, window, now))
    click.echo(_json(window, now) if as_json else window.id)


@maintenance.command("list")
@CONFIG
@click.option("--all", "over_too", is_flag=True, help="Those that come no more, too.")
@AS_JSON
def list_windows(config: Path, *, over_too: bool, as_json: bool) -> None:
    """Maintenance windows, the next one first; those of the configuration too, when CONFIG is the analytics process's file.

    \b
    Examples:
      tidegate alerts maintenance list analytics.toml
      tidegate alerts maintenance list analytics.toml --all --json
    """
    now = SystemClock().now_ms()
    windows = [*_configured(config), *_made(config)]
    windows = [window for window in windows if over_too or window.opening(now)]
    for window in sorted(windows, key=lambda one: _next(one, now)):
        click.echo(_json(window, now) if as_json else _line(window, now))


@maintenance.command()
@CONFIG
@click.argument("name", metavar="ID")
@BY
@AS_JSON
def remove(config: Path, name: str, by: str, *, as_json: bool) -> None:
    """Close the maintenance window with this ID now, for good. Those of the configuration are removed there.

    \b
    Example:
      tidegate alerts maintenance remove analytics.toml 9a41c0d2e7f3
    """
    now = SystemClock().now_ms()
    found = [window for window in _made(config) if window.id == name and window.opening(now)]
    if not found:
        fail(f"no maintenance window {name!r} is to come; `tidegate alerts maintenance list {config}` shows them")
    ended = msgspec.structs.replace(found[0], ends_at=now, by=by, at=max(now, found[0].at))
    append(config, event_on(MAINTENANCE, name, ended, now))
    click.echo(_json(ended, now) if as_json else f"{name} is removed")


def _hours(lasts_s: float, *, begins: str, days: str, date: str, timezone: str) -> Hours:
    named = list(WEEKDAYS) if days == DAILY else [day.strip().lower() for day in days.split(",") if day.strip()]
    unknown = sorted(set(named) - set(WEEKDAYS))
    if unknown:
        raise ValueError(f"--days: {unknown[0]!r} is no day, expected some of {','.join(WEEKDAYS)}, or {DAILY}")
    asked = {"begins": begins, "lasts_s": lasts_s, "days": named, "date": date, "timezone": timezone}
    return msgspec.convert(asked, Hours)


def _as_options(told: str) -> str:
    name, is_, rest = told.partition(" is ")
    return f"{_OPTIONS.get(name, name)}{is_}{rest}".replace("either days or date", "either --days or --date")


def _made(config: Path) -> list[MaintenanceWindow]:
    return list({window.id: window for window in every(config, MAINTENANCE, MaintenanceWindow)}.values())


def _configured(config: Path) -> list[MaintenanceWindow]:
    try:
        known = load_config(config, _Configured).analytics.alerts.maintenance
    except ConfigError as error:
        refuse(str(error))
    return [msgspec.structs.replace(one.window(), by="the configuration") for one in known]


def _next(window: MaintenanceWindow, now: int) -> tuple[bool, int, str]:
    opening = window.opening(now)
    return opening is None, opening.start if opening else 0, window.id


def _json(window: MaintenanceWindow, now: int) -> str:
    opening = window.opening(now)
    more: dict[str, Any] = {"opens_at": opening.start if opening else 0, "closes_at": opening.end if opening else 0}
    return msgspec.json.encode(msgspec.structs.asdict(window) | more).decode()


def _line(window: MaintenanceWindow, now: int) -> str:
    hours, opening = window.hours, window.opening(now)
    days = hours.date or (DAILY if set(hours.days) == set(WEEKDAYS) else ",".join(hours.days))
    state = "over" if opening is None else ("open until " if opening.start <= now else "opens ")
    at = "" if opening is None else rfc3339(opening.end if opening.start <= now else opening.start)
    matchers = " ".join(map(matcher_text, window.matchers))
    return (
        f"{window.id}  {days} at {hours.begins} {hours.timezone} for {span_text(round(hours.lasts_s * 1000))}, {state}{at}  {window.tenant}: {matchers}"
        f"  ({window.by}{': ' + window.comment if window.comment else ''})"
    )
