"""`tidegate bench gate`: how often the gate is wrong, what it finds and when, on a simulated fleet."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from compose.bench.gate.run import Plan, rows_of, summary
from compose.bench.gate.scenarios import SCENARIOS
from compose.cli.ending import FAILED


@click.command()
@click.option("--runs", type=click.IntRange(1), default=2000, show_default=True, help="Rollouts a row.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another fleet, another story.")
@click.option("--row", "rows", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only these rows.")
@click.option(
    "--workers", type=click.IntRange(1), default=None, help="Processes; as many as there are cores if not given."
)
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def gate(runs: int, seed: int, rows: tuple[str, ...], workers: int | None, *, as_json: bool) -> None:
    """Judge simulated rollouts by the gate's own step, looked at every 5 minutes for 72 hours, alpha 5 %.

    The same stories go to a fixed threshold, a z-test at every look, and a Mann-Whitney judge (200 runs a row); 50 runs a row also
    go through `rollout judge`, which must say the same. Exit code 1 when a bar is missed.

    \b
    Examples:
      tidegate bench gate --json
      tidegate bench gate --runs 200 --row crash_x2 --row identical
    """
    names = list(rows) or list(SCENARIOS)
    plan = Plan(runs=runs, judged=min(200, runs), recorded=min(50, runs), seed=seed)
    told = rows_of(names, plan, workers or os.cpu_count() or 1)
    with click.progressbar(told, length=len(names), label="rows", file=sys.stderr) as shown:
        found = summary(shown)
    if not as_json:
        _show(found)
    click.echo(json.dumps(found))
    sys.exit(FAILED if found["missed"] or not found["recorded_agree"] else 0)


def _show(found: dict[str, Any]) -> None:
    for kind in ("false_fail", "power", "passes"):
        for name, row in found[kind].items():
            others = "  ".join(f"{judge} {rows[kind][name]['rate']:.2f}" for judge, rows in found["judges"].items())
            median = row["median_hours"]
            when = f"median {median:6.2f} h" if median is not None else ""
            click.echo(f"{kind:<10} {name:<16} {row['rate']:.4f}  {when:<16} {others}")
    for line in found["missed"]:
        click.echo(f"missed: {line}")
