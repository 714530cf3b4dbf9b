"""`tidegate bench detect`: how well detection detects, how rarely it is wrong, how fast it is; one configuration for all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compose.bench.detect.rows import QUICK, ROWS, WHOLE, Asked, missed
from compose.bench.load import BenchFailedError
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say
from compose.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FULL_MEMORY = 10_000_000


@click.command(
    epilog=examples(
        "tidegate bench detect --data ../shared/data --json",
        "tidegate bench detect --only quiet --series 20000 --days 2",
        "tidegate bench detect --quick --json",
    )
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Holds the sets nab, skab and smd."
)
@click.option("--only", type=click.Choice(list(ROWS)), multiple=True, help="Only this row; may be repeated.")
@click.option("--series", type=click.IntRange(700), help="Of the quiet fleet.  [default: 100000]")
@click.option("--days", type=click.FloatRange(0.1), help="That the quiet fleet lasts.  [default: 7]")
@click.option("--full", is_flag=True, help="Memory with 10,000,000 series instead of 1,000,000 (takes some gigabytes).")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures little.")
@disk_option("what the latency's Kafka keeps is")
@json_option
def detect(
    data: Path | None,
    only: tuple[str, ...],
    series: int | None,
    days: float | None,
    folder: Path,
    *,
    full: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Score detection on the Numenta (NAB), Skoltech (SKAB) and Server Machine (SMD) sets, and on simulated fleets.

    One default configuration for all, rows fed one at a time, nothing known of what comes later. Rows that need --data
    are left out without it. All takes most of an hour and wants a quiet machine. Exit code 1 when a bar is missed.
    """
    sizing = QUICK if quick else WHOLE
    quiet = sizing.quiet._replace(series=series or sizing.quiet.series, days=days or sizing.quiet.days)
    memory = sizing.memory._replace(series=_FULL_MEMORY) if full else sizing.memory
    asked = Asked(data, folder.resolve(), sizing._replace(quiet=quiet, memory=memory), say)
    figures: dict[str, Any] = {}
    for name in only or [name for name, row in ROWS.items() if data or not row.data]:
        figures |= _measured(name, asked)
    figures["missed"] = missed(figures)
    tell_figures(figures, as_json=as_json, width=36)
    sys.exit(FAILED if figures["missed"] else 0)


def _measured(name: str, asked: Asked) -> Mapping[str, Any]:
    row = ROWS[name]
    try:
        if not row.steps(asked):
            say(f"{name} …")
            return row.run(asked, lambda _: None)
        with click.progressbar(length=row.steps(asked), label=f"{name:<8}", file=sys.stderr) as shown:
            return row.run(asked, shown.update)
    except (BenchFailedError, StackError, OSError) as error:
        raise click.ClickException(str(error)) from error
