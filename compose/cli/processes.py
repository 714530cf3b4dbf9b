"""`tidegate edge|ingest|analytics|api run`: each worker as its own process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from compose.cli.config import read
from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess
from compose.processes.run import run_analytics, run_api, run_edge, run_ingest
from ingest.runtime.service import ServiceFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))


def _run(path: Path, kind: type[Any], process: Callable[[Any], Awaitable[None]]) -> None:
    config = read(path, kind)

    async def started() -> None:
        await process(config)

    try:
        asyncio.run(started())
    except (ServiceFailedError, OSError) as error:
        click.echo(f"tidegate: {error}", err=True)
        sys.exit(1)
    except ValueError as error:  # a key, an address or a limit that cannot be used
        click.echo(f"{path}: {error}", err=True)
        sys.exit(2)


@click.group()
def edge() -> None:
    """The aggregator of one site."""


@edge.command("run")
@CONFIG
def edge_run(config: Path) -> None:
    """Run the edge aggregator until SIGTERM.

    \b
    Example:
      tidegate config init edge > edge.toml
      tidegate edge run edge.toml
    """
    _run(config, EdgeProcess, run_edge)


@edge.command("status")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def edge_status(config: Path, *, as_json: bool) -> None:
    """The ledger and the outbox of a site, from its files; the process may be running or not."""
    from edge_aggregator.status import StatusError, status  # noqa: PLC0415 - only this command needs it

    try:
        found = msgspec.to_builtins(status(Path(read(config, EdgeProcess).edge.data_dir)))
    except StatusError as error:
        click.echo(f"tidegate: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for name, value in found.items():
        click.echo(f"{name:<12} {value}")


@click.group()
def ingest() -> None:
    """The central door: from the log into the store."""


@ingest.command("run")
@CONFIG
def ingest_run(config: Path) -> None:
    """Run the central door until SIGTERM."""
    _run(config, IngestProcess, run_ingest)


@click.group()
def analytics() -> None:
    """Detection, alerts, rollout gate and rollback."""


@analytics.command("run")
@CONFIG
def analytics_run(config: Path) -> None:
    """Run the analytics until SIGTERM."""
    _run(config, AnalyticsProcess, run_analytics)


@click.group()
def api() -> None:
    """The API and the page."""


@api.command("run")
@CONFIG
def api_run(config: Path) -> None:
    """Serve the API and the page until SIGTERM."""
    _run(config, ApiProcess, run_api)
