"""`tidegate bench flood`: what one device that floods costs its neighbours."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from compose.bench.flood import FloodLoad, measure
from compose.bench.load import BenchFailedError
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=examples("tidegate bench flood --json", "tidegate bench flood --seconds 3 --runs 1"))
@click.option("--neighbours", type=click.IntRange(1), default=50, show_default=True, help="Devices that behave.")
@click.option("--seconds", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Of each phase.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Medians of so many runs.")
@disk_option("the journal is")
@json_option
def flood(neighbours: int, seconds: float, runs: int, folder: Path, *, as_json: bool) -> None:
    """Measure the neighbours' PUBACK p99 at the gateway's own listener, alone and while one device floods it.

    The flood has half the highest rate that one connection reaches here. Exit code 1 when the p99 grows beyond 1.5 times
    and beyond 250 ms.
    """
    load = FloodLoad(neighbours=neighbours, seconds=seconds, runs=runs)
    try:
        figures = asyncio.run(measure(folder.resolve(), load, say))
    except (BenchFailedError, OSError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    tell_figures(figures, as_json=as_json, width=24)
    sys.exit(0 if figures["passed"] else FAILED)
