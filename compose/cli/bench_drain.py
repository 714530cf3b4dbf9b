"""`tidegate bench drain`: how fast a gateway is itself again after an outage."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from compose.bench.drain import QUICK, DrainLoad, measure
from compose.bench.filesystem import UnfitFileSystemError, disk_figures
from compose.bench.load import BenchFailedError
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say
from compose.stack.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=examples("tidegate bench drain --json", "tidegate bench drain --quick"))
@click.option("--devices", type=click.IntRange(1), default=1_000, show_default=True, help="Ten metrics each, at 1 Hz.")
@click.option(
    "--hours", type=click.FloatRange(0.1), default=24.0, show_default=True, help="How long the link was away."
)
@click.option("--seconds", type=click.FloatRange(5.0), default=300.0, show_default=True, help="How long it may drain.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures nothing.")
@disk_option("journal and outbox are")
@json_option
def drain(devices: int, hours: float, seconds: float, folder: Path, *, quick: bool, as_json: bool) -> None:
    """Measure the drain: the real process with the backlog of an outage, to a real Kafka, beside live data.

    The backlog is written by the gateway's own rooms in simulated time, which takes about a quarter of an hour for a day
    of 1,000 devices. Exit code 1 when it drains slower than 100 times real time, or when the p99 from a live window's end to
    Kafka is beyond two windows.
    """
    load = QUICK if quick else DrainLoad(devices=devices, outage_s=round(hours * 3600), seconds=seconds)
    try:
        figures = disk_figures(folder.resolve()) | asyncio.run(measure(folder.resolve(), load, say))
    except (BenchFailedError, StackError, UnfitFileSystemError, OSError) as error:
        raise click.ClickException(str(error)) from error
    tell_figures(figures, as_json=as_json, width=24)
    sys.exit(0 if figures["passed"] else FAILED)
