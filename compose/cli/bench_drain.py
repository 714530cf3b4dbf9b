"""`tidegate bench drain`: how fast a gateway is itself again after an outage."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from compose.bench.drain import QUICK, DrainLoad, measure
from compose.bench.filesystem import UnfitFileSystemError, filesystem_of, fsync_p99_ms
from compose.bench.load import BenchFailedError
from compose.cli.stack import examples, say
from compose.stack.errors import StackError


@click.command(epilog=examples("tidegate bench drain --json", "tidegate bench drain --quick"))
@click.option("--devices", type=click.IntRange(1), default=1_000, show_default=True, help="Ten metrics each, at 1 Hz.")
@click.option(
    "--hours", type=click.FloatRange(0.1), default=24.0, show_default=True, help="How long the link was away."
)
@click.option("--seconds", type=click.FloatRange(5.0), default=300.0, show_default=True, help="How long it may drain.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures nothing.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="On which disk journal and outbox are written.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def drain(devices: int, hours: float, seconds: float, folder: Path, *, quick: bool, as_json: bool) -> None:
    """Measure the drain: the real process with the backlog of an outage, to a real Kafka, beside live data.

    The backlog is written by the gateway's own rooms in simulated time, which takes about a quarter of an hour for a day
    of 1,000 devices. Exit code 1 when it drains slower than 100 times real time, or when the p99 from a live window's end to
    Kafka is beyond two windows.
    """
    load = QUICK if quick else DrainLoad(devices=devices, outage_s=round(hours * 3600), seconds=seconds)
    try:
        disk = {"filesystem": filesystem_of(folder.resolve()), "fsync_p99_ms": round(fsync_p99_ms(folder.resolve()), 2)}
        figures = disk | asyncio.run(measure(folder.resolve(), load, say))
    except (BenchFailedError, StackError, UnfitFileSystemError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not as_json:
        for name, value in figures.items():
            click.echo(f"{name:<24} {value}")
    click.echo(json.dumps(figures))
    sys.exit(0 if figures["passed"] else 1)
