"""`tidegate bench start`: how long a gateway with a full journal takes to be back after it was killed."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from compose.bench.filesystem import UnfitFileSystemError
from compose.bench.load import BenchFailedError
from compose.bench.start.measure import QUICK, WHOLE, measure
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog=examples(
        "tidegate bench start --json", "tidegate bench start --devices 10000", "tidegate bench start --quick"
    )
)
@click.option("--devices", type=click.IntRange(1), help="Devices of ten metrics each.  [default: 1000]")
@click.option("--runs", type=click.IntRange(1), help="Medians of so many starts.  [default: 5]")
@click.option("--quick", is_flag=True, help="A journal of 2 MiB: shows that it works, measures nothing.")
@disk_option("the journal is")
@json_option
def start(devices: int | None, runs: int | None, folder: Path, *, quick: bool, as_json: bool) -> None:
    """Fill a journal of 2 GiB, kill the gateway, and measure from the start of its process until /readyz says yes.

    From two moments: a second after a flush, and with as much committed and not flushed as there can ever be. The
    kernel forgets the files before each start. Exit code 1 when a median is above 3 s.
    """
    sizing = QUICK if quick else WHOLE
    sizing = sizing._replace(devices=devices or sizing.devices, runs=runs or sizing.runs)
    try:
        figures = asyncio.run(measure(folder.resolve(), sizing, say))
    except (BenchFailedError, UnfitFileSystemError, OSError) as error:
        raise click.ClickException(str(error)) from error
    tell_figures(figures, as_json=as_json, width=28)
    sys.exit(0 if figures["passed"] else FAILED)
