"""What people do about alerts, and what became of alerts: silences, acknowledgements, history."""

from __future__ import annotations

import getpass
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from analytics.alerts.matching import matcher_text, read_matcher
from compose.cli.durations import Duration
from compose.cli.ending import fail, refuse
from compose.cli.log import every_record, with_log
from compose.cli.tenants import require_known
from ingest.contract.events import Acknowledgement, AlertEvent, Silence, SilenceKind
from ingest.contract.records import event_record, read_event, rfc3339
from ingest.contract.topics import ACKNOWLEDGEMENTS, ALERT_HISTORY, ALERTS, SILENCES
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from ingest.contract.records import Outgoing
    from ingest.runtime.log.port import Log

T = TypeVar("T", bound=msgspec.Struct)

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
BY = click.option("--by", default=getpass.getuser, show_default="the user of this terminal", help="Who does it.")
COMMENT = click.option("--comment", default="", help="Why.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
SOURCE = "tidegate/cli"


@click.command()
@CONFIG
@click.option("--alert", "fingerprint", default="", help="Only of the alert with this fingerprint.")
@click.option("--name", default="", help="Only alerts of this rule.")
@click.option("--since", type=Duration(), default="24h", show_default=True, help="How far back: 90s, 5m, 2h, 7d.")
@AS_JSON
def history(config: Path, fingerprint: str, name: str, since: float, *, as_json: bool) -> None:
    """Every change of alerts, with its reason and who made it, oldest first.

    \b
    Examples:
      tidegate alerts history analytics.toml --since 24h
      tidegate alerts history analytics.toml --name DeviceSilent --json
    """
    after = SystemClock().now_ms() - since * 1000
    found = [event for event in every(config, ALERT_HISTORY, AlertEvent) if event.changed_at >= after]
    for event in sorted(found, key=lambda event: event.changed_at):
        if fingerprint in ("", event.fingerprint) and name in ("", event.name):
            click.echo(msgspec.json.encode(event).decode() if as_json else _change_line(event))


@click.command()
@CONFIG
@click.argument("fingerprint")
@BY
@COMMENT
@click.option("--withdraw", is_flag=True, help="Look after it no more: it may call people again.")
@AS_JSON
def acknowledge(config: Path, fingerprint: str, by: str, comment: str, *, withdraw: bool, as_json: bool) -> None:
    """Say that somebody looks after the alert with this FINGERPRINT: nobody else is called for it any more.

    \b
    Example:
      tidegate alerts acknowledge analytics.toml 3f1c0a8e55d2b917 --comment "on my way"
    """

    async def say(log: Log) -> AlertEvent | None:
        record = (await log.read_compacted(ALERTS)).get(fingerprint.encode())
        alert = read_event(record, AlertEvent) if record is not None else None
        if alert is None or not alert.starts_at or alert.ends_at:
            return None
        said = Acknowledgement(
            fingerprint=fingerprint,
            tenant=alert.tenant,
            starts_at=alert.starts_at,
            by=by,
            at=SystemClock().now_ms(),
            comment=comment,
            withdrawn=withdraw,
        )
        await log.append([event_on(ACKNOWLEDGEMENTS, fingerprint, said, said.at)])
        return alert

    alert = with_log(config, say)
    if alert is None:
        fail(f"no alert {fingerprint!r} fires; `tidegate alerts history {config}` shows fingerprints")
    line = f"{by} looks after {alert.name} {fingerprint}" + (" no more" if withdraw else "")
    told = {"fingerprint": fingerprint, "name": alert.name, "by": by, "withdrawn": withdraw}
    click.echo(msgspec.json.encode(told).decode() if as_json else line)


@click.command()
@CONFIG
@click.argument("matchers", nargs=-1, required=True)
@click.option("--tenant", required=True, help="Whose alerts: one that has gateways in CONFIG.")
@click.option("--for", "lasts", type=Duration(), default="1h", show_default=True, help="How long: 90s, 5m, 2h, 7d.")
@click.option("--in", "starts_in", type=Duration(), default="0s", show_default=True, help="It begins only then.")
@click.option("--maintenance", is_flag=True, help="A maintenance window: told apart from a silence in the history.")
@BY
@COMMENT
@AS_JSON
def silence(
    config: Path,
    matchers: tuple[str, ...],
    *,
    tenant: str,
    lasts: float,
    starts_in: float,
    by: str,
    comment: str,
    maintenance: bool,
    as_json: bool,
) -> None:
    """Let alerts that match all MATCHERS (label=pattern, label!=pattern) tell nobody; prints the silence's id.

    What still holds when it ends is told then. Labels are an alert's own, and alertname, severity.

    \b
    Examples:
      tidegate alerts silence analytics.toml site=north device=pump-* --for 2h --tenant acme
      tidegate alerts silence analytics.toml site=north --in 1h --for 30m --maintenance --tenant acme
    """
    try:
        read = [read_matcher(text) for text in matchers]
    except ValueError as error:
        refuse(str(error))
    require_known(config, tenant)
    now = SystemClock().now_ms()
    said = Silence(
        id=secrets.token_hex(6),
        tenant=tenant,
        matchers=read,
        starts_at=now + round(starts_in * 1000),
        ends_at=now + round((starts_in + lasts) * 1000),
        by=by,
        at=now,
        comment=comment,
        kind=SilenceKind.MAINTENANCE if maintenance else SilenceKind.SILENCE,
    )
    append(config, event_on(SILENCES, said.id, said, now))
    click.echo(msgspec.json.encode(said).decode() if as_json else said.id)


@click.command()
@CONFIG
@click.option("--all", "ended_too", is_flag=True, help="Those that have ended, too.")
@AS_JSON
def silences(config: Path, *, ended_too: bool, as_json: bool) -> None:
    """What `silence` made, the one that ends first before the others; maintenance by a clock: see `maintenance list`.

    \b
    Example:
      tidegate alerts silences analytics.toml --all
    """
    now = SystemClock().now_ms()
    for said in sorted(_newest_silences(config), key=lambda said: said.ends_at):
        if ended_too or said.ends_at > now:
            click.echo(msgspec.json.encode(said).decode() if as_json else _silence_line(said))


@click.command()
@CONFIG
@click.argument("name", metavar="ID")
@BY
@AS_JSON
def unsilence(config: Path, name: str, by: str, *, as_json: bool) -> None:
    """End what `silence` made with this ID now; maintenance by a clock: see `maintenance remove`.

    \b
    Example:
      tidegate alerts unsilence analytics.toml 9a41c0d2e7f3
    """
    now = SystemClock().now_ms()
    found = [said for said in _newest_silences(config) if said.id == name]
    if not found or found[0].ends_at <= now:
        fail(f"no silence {name!r} is on; `tidegate alerts silences {config}` shows them")
    ended = msgspec.structs.replace(
        found[0], starts_at=min(found[0].starts_at, now), ends_at=now, by=by, at=max(now, found[0].at)
    )
    append(config, event_on(SILENCES, name, ended, now))
    click.echo(msgspec.json.encode(ended).decode() if as_json else f"{name} has ended")


def _newest_silences(config: Path) -> list[Silence]:
    return list({said.id: said for said in every(config, SILENCES, Silence)}.values())


def every(config: Path, topic: str, kind: type[T]) -> list[T]:
    """The events that a topic of the log holds."""

    async def look(log: Log) -> list[T]:
        return [event for record in await every_record(log, topic) if (event := read_event(record, kind))]

    return with_log(config, look)


def append(config: Path, record: Outgoing) -> None:
    """Add a record to the log."""

    async def say(log: Log) -> None:
        await log.append([record])

    with_log(config, say)


def event_on(topic: str, key: str, event: msgspec.Struct, at: int) -> Outgoing:
    """An event that somebody caused `at` (ms) from a terminal."""
    return event_record(topic, key, event, event_id=f"{key}:{at}", source=SOURCE, time=at)


def _change_line(event: AlertEvent) -> str:
    labels = " ".join(f"{name}={value}" for name, value in sorted(event.labels.items()))
    who = f" by {event.by}" if event.by else ""
    return (
        f"{rfc3339(event.changed_at)}  {event.fingerprint}  {event.state.value:<12} {event.reason:<14} {event.name}"
        f"  {labels}{who}"
    )


def _silence_line(said: Silence) -> str:
    matchers = " ".join(map(matcher_text, said.matchers))
    return (
        f"{said.id}  {said.kind.value:<11} {rfc3339(said.starts_at)} to {rfc3339(said.ends_at)}  {said.tenant}: {matchers}"
        f"  ({said.by}{': ' + said.comment if said.comment else ''})"
    )
