"""`tidegate bench edge`: what this machine reaches, beside a peer that does the same work."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from compose.bench.contestants import Contestant, Edge, Telegraf
from compose.bench.edge_rows import QUICK, ROWS, WHOLE, Bench
from compose.bench.filesystem import UnfitFileSystemError, disk_figures
from compose.bench.load import BenchFailedError
from compose.bench.stand import stand
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.stack import examples, say
from compose.stack.errors import StackError
from compose.stack.go_recipe import TELEGRAF
from compose.stack.obtain import obtain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
@disk_option("the journal is")
@json_option
def edge(against: str | None, runs: int, rows: tuple[str, ...], folder: Path, *, quick: bool, as_json: bool) -> None:
    """Measure the edge: the real process, fed over MQTT, journal fsynced, 10 s windows, to Kafka.

    Telegraf is obtained (built, at the first time) when it is asked for. A whole run takes about a quarter of an hour
    and wants a quiet machine.
    """
    try:
        figures = asyncio.run(_measure(against, runs, rows or tuple(ROWS), folder.resolve(), quick=quick))
    except (BenchFailedError, StackError, UnfitFileSystemError, OSError) as error:
        raise click.ClickException(str(error)) from error
    tell_figures(figures, as_json=as_json, width=36)


async def _measure(against: str | None, runs: int, rows: Sequence[str], folder: Path, *, quick: bool) -> dict[str, Any]:
    figures = disk_figures(folder) | {"runs": runs, "cores": len(os.sched_getaffinity(0))}
    say(f"{folder} is on {figures['filesystem']}, fsync p99 {figures['fsync_p99_ms']} ms")
    contestants: list[Contestant] = [Edge()]
    if against:
        contestants.append(Telegraf(obtain(TELEGRAF, os.environ, say).path))
    async with stand(folder, say) as place:
        measured = Bench(contestants=contestants, stand=place, runs=runs, sizing=QUICK if quick else WHOLE, say=say)
        for row in rows:
            figures |= await ROWS[row](measured)
    return figures
