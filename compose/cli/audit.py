"""`tidegate audit`: who did what about rollouts, and whether that record is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from analytics.rollouts.audit import verify
from compose.cli.ending import FAILED
from compose.cli.log import every_record, with_log
from ingest.contract.records import rfc3339
from ingest.contract.topics import AUDIT

if TYPE_CHECKING:
    from analytics.rollouts.audit import Breach
    from ingest.contract.events import AuditEntry
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log


@click.group()
def audit() -> None:
    """Plans, verdicts, commands, orders and answers: an append-only log in which every entry is chained to the one before.

    \b
    Examples:
      tidegate audit verify analytics.toml
      tidegate audit list analytics.toml --rollout firmware-2.3.0
    """


@audit.command("verify")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify_command(config: Path, *, as_json: bool) -> None:
    """Check the whole chain; CONFIG is any process's file: its [log] is read. Exit code 1 when it does not hold.

    \b
    Example:
      tidegate audit verify analytics.toml
    """
    entries, breaches = _read(config)
    head = entries[-1].seq if entries else None
    if as_json:
        told = {"entries": len(entries), "last": head, "breaches": [breach._asdict() for breach in breaches]}
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join([f"{len(entries)} entries", *(f"entry {b.seq}: {b.problem}" for b in breaches)]))
    sys.exit(FAILED if breaches else 0)


@audit.command("list")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rollout", default="", help="Only entries about this rollout.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an entry.")
def list_command(config: Path, rollout: str, *, as_json: bool) -> None:
    """Show the entries in order.

    \b
    Example:
      tidegate audit list analytics.toml --rollout firmware-2.3.0 --json
    """
    for entry in _read(config)[0]:
        if rollout in ("", entry.rollout):
            click.echo(msgspec.json.encode(entry).decode() if as_json else _line(entry))


def _read(config: Path) -> tuple[list[AuditEntry], list[Breach]]:
    async def look(log: Log) -> list[Record]:
        return await every_record(log, AUDIT)

    return verify(with_log(config, look))


def _line(entry: AuditEntry) -> str:
    return (
        f"{entry.seq:>6}  {rfc3339(entry.at)}  {entry.kind:<12} {entry.rollout or '-':<24} {entry.who:<20} {entry.what}"
    )
