"""`tidegate bench flood`: what one device that floods costs its neighbours."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from compose.bench.flood import FloodLoad, measure
from compose.bench.load import BenchFailedError
from compose.cli.stack import examples, say


@click.command(epilog=examples("tidegate bench flood --json", "tidegate bench flood --seconds 3 --runs 1"))
@click.option("--neighbours", type=click.IntRange(1), default=50, show_default=True, help="Devices that behave.")
@click.option("--seconds", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Of each phase.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Medians of so many runs.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="On which disk the journal is written.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
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
    if not as_json:
        for name, value in figures.items():
            click.echo(f"{name:<24} {value}")
    click.echo(json.dumps(figures))
    sys.exit(0 if figures["passed"] else 1)
