"""`tidegate bench edge`: what this machine reaches, beside a peer that does the same work."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compose.bench.contestants import Contestant, Edge, Telegraf
from compose.bench.edge_rows import QUICK, ROWS, WHOLE, Bench
from compose.bench.filesystem import UnfitFileSystemError, filesystem_of, fsync_p99_ms
from compose.bench.load import BenchFailedError
from compose.bench.stand import stand
from compose.cli.stack import examples, say
from compose.stack.errors import StackError
from compose.stack.go_recipe import TELEGRAF
from compose.stack.obtain import obtain

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    epilog=examples(
        "tidegate bench edge --against telegraf --json",
        "tidegate bench edge --only speed --runs 1",
        "tidegate bench edge --quick --json",
    )
)
@click.option("--against", type=click.Choice(["telegraf"]), help="Measure this peer as well, in turn.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Medians of so many runs.")
@click.option("--only", "rows", type=click.Choice(list(ROWS)), multiple=True, help="This row; may be repeated.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures nothing.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="On which disk the journal is written.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def edge(against: str | None, runs: int, rows: tuple[str, ...], folder: Path, *, quick: bool, as_json: bool) -> None:
    """Measure the edge: the real process, fed over MQTT, journal fsynced, 10 s windows, to Kafka.

    Telegraf is obtained (built, at the first time) when it is asked for. A whole run takes about a quarter of an hour
    and wants a quiet machine.
    """
    try:
        figures = asyncio.run(_measure(against, runs, rows or tuple(ROWS), folder.resolve(), quick=quick))
    except (BenchFailedError, StackError, UnfitFileSystemError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not as_json:
        for name, value in figures.items():
            click.echo(f"{name:<36} {value}")
    click.echo(json.dumps(figures))


async def _measure(against: str | None, runs: int, rows: Sequence[str], folder: Path, *, quick: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "filesystem": filesystem_of(folder),
        "fsync_p99_ms": round(fsync_p99_ms(folder), 2),
        "runs": runs,
        "cores": len(os.sched_getaffinity(0)),
    }
    say(f"{folder} is on {figures['filesystem']}, fsync p99 {figures['fsync_p99_ms']} ms")
    contestants: list[Contestant] = [Edge()]
    if against:
        contestants.append(Telegraf(obtain(TELEGRAF, os.environ, say).path))
    async with stand(folder, say) as place:
        measured = Bench(contestants=contestants, stand=place, runs=runs, sizing=QUICK if quick else WHOLE, say=say)
        for row in rows:
            figures |= await ROWS[row](measured)
    return figures
