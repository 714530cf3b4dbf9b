"""What was delivered to whom, and what was not: listed, sent again, given up; and a receiver that is tried out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from analytics.alerts.chat import ChatError
from analytics.alerts.notifier import Notification, PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.outbox_desk import OUTCOMES, Desk, Row
from analytics.alerts.receivers import build_receivers
from compose.cli.config import read
from compose.cli.ending import fail, refuse
from compose.processes.config import AnalyticsProcess
from ingest.contract.events import AlertEvent, AlertState
from ingest.contract.records import rfc3339
from ingest.runtime.clock import SystemClock
from ingest.runtime.secrets import SecretError

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
ROW = click.argument("rows", nargs=-1, required=True, type=int, metavar="ID...")
TEST_ALERT = "TidegateTest"


@click.command()
@CONFIG
@click.option("--receiver", default="", help="Only of this receiver.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only what came out so.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def deliveries(config: Path, receiver: str, outcome: str | None, limit: int, *, as_json: bool) -> None:
    """Each change of an alert for each receiver, the newest first. CONFIG is the analytics process's file.

    \b
    waiting     not taken yet; "held" behind a firing that was refused for good
    dead        refused for good: mend the cause, then replay it, or discard it
    superseded  refused for good, and over before the alert fired anew

    \b
    Examples:
      tidegate alerts deliveries analytics.toml
      tidegate alerts deliveries analytics.toml --receiver on-call --outcome dead --json
    """
    desk = _desk(config)
    for row in desk.rows(receiver, outcome or "", limit):
        click.echo(msgspec.json.encode(row._asdict()).decode() if as_json else _line(row))
    desk.close()


@click.command()
@CONFIG
@ROW
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def replay(config: Path, rows: tuple[int, ...], *, as_json: bool) -> None:
    """Send what was refused for good again; IDs are those of `tidegate alerts deliveries`.

    \b
    Examples:
      tidegate alerts deliveries analytics.toml --outcome dead
      tidegate alerts replay analytics.toml 17 18
    """
    desk = _desk(config)
    found = [row for row in rows if desk.replay(row)]
    desk.close()
    _report(rows, found, "replayed", as_json=as_json)


@click.command()
@CONFIG
@ROW
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def discard(config: Path, rows: tuple[int, ...], *, as_json: bool) -> None:
    """Give up what was refused for good, and the resolve that waits for it.

    \b
    Examples:
      tidegate alerts discard analytics.toml 17
    """
    desk = _desk(config)
    found = [row for row in rows if desk.discard(row, SystemClock().now_ms())]
    desk.close()
    _report(rows, found, "discarded", as_json=as_json)


@click.command("send-test")
@CONFIG
@click.argument("receiver")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def send_test(config: Path, receiver: str, *, as_json: bool) -> None:
    """Tell RECEIVER of an alert TidegateTest, then that it is over; exit code 1 and the reason when it does not take them.

    \b
    Examples:
      tidegate alerts send-test analytics.toml on-call
    """
    clock, alerts = SystemClock(), read(config, AnalyticsProcess).analytics.alerts
    names = [one.name for one in alerts.receivers()]
    if receiver not in names:
        refuse(f"{config}: no receiver is called {receiver!r}; there are {', '.join(names) or 'none'}")
    now = clock.now_ms()

    async def tell() -> None:
        all_of_them = build_receivers(alerts, clock)
        try:
            notifier = next(one for one in all_of_them if one.name == receiver)
            for state in (AlertState.FIRING, AlertState.RESOLVED):
                await notifier.send(_test_notification(state, now))
        finally:
            for one in all_of_them:
                await one.close()

    try:
        asyncio.run(tell())
    except (SecretError, ChatError) as error:
        refuse(str(error))
    except (TemporarilyRefusedError, PermanentlyRefusedError) as error:
        fail(f"{receiver}: {error}")
    told = msgspec.json.encode({"receiver": receiver, "alert": TEST_ALERT, "took": ["firing", "resolved"]}).decode()
    click.echo(told if as_json else f"{receiver} took a firing and a resolved {TEST_ALERT}")


def _test_notification(state: AlertState, now: int) -> Notification:
    alert = AlertEvent(
        fingerprint="0" * 16,
        tenant="tidegate",
        name=TEST_ALERT,
        state=state,
        severity="info",
        labels={"site": "test"},
        annotations={"summary": "a test of this receiver: nothing is wrong"},
        numbers={},
        changed_at=now,
        pending_since=now,
        starts_at=now,
        ends_at=now if state is AlertState.RESOLVED else 0,
    )
    return Notification(key=alert.idempotency_key(), name=TEST_ALERT, tenant="tidegate", alerts=[alert])


def _desk(config: Path) -> Desk:
    path = Path(read(config, AnalyticsProcess).analytics.data_dir) / "deliveries.db"
    if not path.exists():
        fail(f"{path} does not exist; has `tidegate analytics run {config}` ever run?")
    return Desk(path)


def _report(asked: tuple[int, ...], found: list[int], verb: str, *, as_json: bool) -> None:
    missing = sorted(set(asked) - set(found))
    told = msgspec.json.encode({verb: found, "missing": missing}).decode()
    click.echo(told if as_json else f"{len(found)} {verb}")
    if missing:
        fail(f"refused for good are not: {', '.join(map(str, missing))}")


def _line(row: Row) -> str:
    outcome = "held" if row.held else row.outcome
    at = rfc3339(row.done_at or row.queued_at)
    tries = f" after {row.tries} tries" if row.tries else ""
    return f"{row.id:>8}  {at}  {row.receiver:<16} {outcome:<10} {row.state:<12} {row.name} {row.fingerprint}{tries}  {row.detail}".rstrip()
