"""`tidegate edge|ingest|analytics|api run`: each worker as its own process."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from compose.cli.config import read
from compose.cli.ending import end_process, fail, refuse
from compose.processes.check import require_secrets
from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess, Process
from compose.processes.run import run_analytics, run_api, run_edge, run_ingest
from ingest.runtime.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T", bound=Process)
CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))


def _run(path: Path, kind: type[T], process: Callable[[T], Awaitable[None]]) -> None:
    config = read(path, kind)
    try:
        require_secrets(path, config)
    except ConfigError as error:
        refuse(str(error))

    async def started() -> None:
        await process(config)

    with _leaving_on_signals():
        try:
            asyncio.run(started())
        except Exception as error:  # noqa: BLE001 - whatever ends a process is told in one line
            end_process(path, error)


@contextmanager
def _leaving_on_signals() -> Iterator[None]:
    # Until the services run and listen to signals themselves there is nothing to finish: being told to stop is no failure.
    signals = (signal.SIGTERM, signal.SIGINT)
    earlier = [signal.signal(number, lambda *_: sys.exit(0)) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, earlier, strict=True):
            signal.signal(number, handler)


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
        fail(str(error))
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
