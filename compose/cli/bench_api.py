"""`tidegate bench api`: how fast the API answers when it knows a large fleet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from compose.bench.api.rows import ROWS, Asked, missed
from compose.bench.load import BenchFailedError
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say
from compose.stack.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog=examples("tidegate bench api --json", "tidegate bench api --only reads", "tidegate bench api --quick")
)
@click.option("--only", type=click.Choice(list(ROWS)), multiple=True, help="Only this row; may be repeated.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures little.")
@disk_option("the log that the API reads is")
@json_option
def api(only: tuple[str, ...], folder: Path, *, quick: bool, as_json: bool) -> None:
    """Read a fleet of 100,000 devices through the API, 200 requests a second, while devices change.

    Pages of devices, single devices, the fleet's counts, sites, alerts, incidents, rollouts and gates, each timed from when it
    was due. Exit code 1 when a bar is missed.
    """
    figures: dict[str, Any] = {}
    for name in only or ROWS:
        say(f"{name} …")
        try:
            figures |= ROWS[name].run(Asked(folder.resolve(), quick))
        except (BenchFailedError, StackError, OSError) as error:
            raise click.ClickException(str(error)) from error
    figures["missed"] = [] if quick else missed(figures)
    tell_figures(figures, as_json=as_json, width=24)
    sys.exit(FAILED if figures["missed"] else 0)
