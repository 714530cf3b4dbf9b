"""`tidegate bench incidents`: how well alarms become incidents, on simulated fleets whose causes are known."""

from __future__ import annotations

import json
import sys

import click

from compose.bench.incidents.run import stories, summary
from compose.cli.ending import FAILED

LEAST = {
    "pair_precision": 0.9,
    "pair_recall": 0.9,
    "named_precision": 0.95,
    "named_recall": 0.9,
    "root_metric_right": 0.88,
}
"""Below these the exit code is 1."""


@click.command()
@click.option("--stories", "number", type=click.IntRange(1), default=40, show_default=True, help="Simulated fleets.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Other fleets, other stories.")
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def incidents(number: int, seed: int, *, as_json: bool) -> None:
    """Fleets of 2,000 devices at 20 sites over two hours, through the code that runs live.

    Two to six causes overlap in time (a release on one revision, a slow release, a site's power, a switch, a batch that wears out, a
    backend that nothing points to), and 10 to 200 single devices an hour fall ill for no reason. Pairs of series say how well
    they were grouped: precision is the share of pairs in one incident that have one cause, recall the share of pairs of one cause
    that are in one incident. Exit code 1 when a bar is missed.

    \b
    Examples:
      tidegate bench incidents --json
      tidegate bench incidents --stories 4 --seed 7
    """
    with click.progressbar(stories(number, seed), length=number, label="stories", file=sys.stderr) as shown:
        found = summary(list(shown))
    found["missed"] = [f"{name}: {found[name]} below {least}" for name, least in LEAST.items() if found[name] < least]
    if not as_json:
        for name, figure in found.items():
            click.echo(f"{name:<26} {figure}")
    click.echo(json.dumps(found))
    sys.exit(FAILED if found["missed"] else 0)
