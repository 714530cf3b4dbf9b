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
from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess, Process
from compose.processes.files import require_files
from compose.processes.run import run_analytics, run_api, run_edge, run_ingest
from ingest.runtime.clock import SystemClock
from ingest.runtime.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T", bound=Process)
CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))


def _run(path: Path, kind: type[T], process: Callable[[T], Awaitable[None]]) -> None:
    config = read(path, kind)
    try:
        require_files(path, config)
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
    """Run the edge aggregator until SIGTERM; SIGHUP reads the file again.

    \b
    Example:
      tidegate config init edge > edge.toml
      tidegate edge run edge.toml
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be heeded it must not end the process
    _run(config, EdgeProcess, lambda found: run_edge(found, config))


@edge.command("status")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def edge_status(config: Path, *, as_json: bool) -> None:
    """How a gateway stands: its account, journal and outbox, from its files, whether or not it runs.

    What only the running process knows (rates, lag, top talkers, clocks) is added while it runs: `live` in the JSON.

    \b
    Examples:
      tidegate edge status edge.toml
      tidegate edge status edge.toml --json | jq .live.rates
    """
    from compose.cli.standing import table  # noqa: PLC0415 - only this command needs these
    from edge_aggregator.live.client import NotRunningError, live_status  # noqa: PLC0415
    from edge_aggregator.status import StatusError, status  # noqa: PLC0415

    settings, away, live = read(config, EdgeProcess).edge, "", None
    try:
        found = status(Path(settings.data_dir))
        live = live_status(Path(settings.data_dir))
    except StatusError as error:
        fail(str(error))
    except NotRunningError as error:
        away = str(error)
    if as_json:
        bounds = {"journal_bytes": settings.journal_bytes, "outbox_bytes": settings.outbox_bytes}
        whole = msgspec.to_builtins(found) | {"bounds": bounds, "live": msgspec.to_builtins(live), "away": away}
        click.echo(msgspec.json.encode(whole).decode())
    else:
        click.echo(table(found, live, settings, SystemClock().now_ms(), away))


@click.group()
def ingest() -> None:
    """The central door: from the log into the store."""


@ingest.command("run")
@CONFIG
def ingest_run(config: Path) -> None:
    """Run the central door until SIGTERM.

    \b
    Examples:
      tidegate config init ingest > ingest.toml
      tidegate ingest run ingest.toml
    """
    _run(config, IngestProcess, run_ingest)


@click.group()
def analytics() -> None:
    """Detection, alerts, rollout gate and rollback."""


@analytics.command("run")
@CONFIG
def analytics_run(config: Path) -> None:
    """Run the analytics until SIGTERM.

    \b
    Examples:
      tidegate config init analytics > analytics.toml
      tidegate analytics run analytics.toml
    """
    _run(config, AnalyticsProcess, run_analytics)


@click.group()
def api() -> None:
    """The API and the page."""


@api.command("run")
@CONFIG
def api_run(config: Path) -> None:
    """Serve the API and the page until SIGTERM.

    \b
    Examples:
      tidegate config init api > api.toml
      tidegate api run api.toml
    """
    _run(config, ApiProcess, run_api)
