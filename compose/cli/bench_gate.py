"""`tidegate bench gate`: how often the gate is wrong, what it finds and when, on a simulated fleet."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from compose.bench.gate import fanout, queries, speed
from compose.bench.gate.run import Plan, rows_of, summary
from compose.bench.gate.scenarios import SCENARIOS
from compose.bench.load import BenchFailedError
from compose.cli.ending import FAILED
from compose.stack.errors import StackError

_MOST = {"gate_query_p99_ms": 10.0, "command_fanout_s": 2.0, "command_ack_s": 1.0}
_LEAST = {"judge_rows_per_s": 200_000}
_FIGURES = ("judge_rows_per_s", "gate_query_p99_ms", "gate_query_cpu_ms", *fanout.FanoutFigures._fields)


@click.command()
@click.option("--runs", type=click.IntRange(1), default=2000, show_default=True, help="Rollouts a row.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another fleet, another story.")
@click.option("--row", "rows", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only these rows.")
@click.option(
    "--workers", type=click.IntRange(1), default=None, help="Processes; as many as there are cores if not given."
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="On which disk the logs of the queries and commands are.  [default: here]",
)
@click.option("--json", "as_json", is_flag=True, help="Nothing but the JSON on standard output.")
def gate(runs: int, seed: int, rows: tuple[str, ...], workers: int | None, folder: Path, *, as_json: bool) -> None:
    """Judge simulated rollouts by the gate's own step, looked at every 5 minutes for 72 hours, alpha 5 %.

    The same stories go to a fixed threshold, a z-test at every look, and a Mann-Whitney judge (200 runs a row); 50 runs a row also
    go through `rollout judge`, which must say the same. Before (without --row): how many rows of evidence `rollout judge` takes a second;
    gate queries against an API process that knows 1,000 rollouts, at an open loop of 500 a second; and a rollback of 10,000 devices in one wave, through the log, a gateway and Mosquitto to the
    devices and their answers back. Exit code 1 when a bar is missed.

    \b
    Examples:
      tidegate bench gate --json
      tidegate bench gate --runs 200 --row crash_x2 --row identical
    """
    names = list(rows) or list(SCENARIOS)
    plan = Plan(runs=runs, judged=min(200, runs), recorded=min(50, runs), seed=seed)
    try:
        answers = {} if rows else _answers(folder.resolve())
    except (BenchFailedError, StackError, OSError) as error:
        raise click.ClickException(str(error)) from error
    told = rows_of(names, plan, workers or os.cpu_count() or 1)
    with click.progressbar(told, length=len(names), label="rows", file=sys.stderr) as shown:
        found = summary(shown) | answers
    found["missed"] += _missed(answers)
    if not as_json:
        _show(found)
    click.echo(json.dumps(found))
    sys.exit(FAILED if found["missed"] or not found["recorded_agree"] else 0)


def _answers(folder: Path) -> dict[str, float]:
    # Before the processes of the simulation: a query is to wait for nobody.
    judged = speed.measure(speed.JudgeLoad())
    load = queries.QueryLoad()
    asked = asyncio.run(queries.measure(load, folder))
    fanned = asyncio.run(fanout.measure(fanout.FanoutLoad(), folder))
    queried = {"gate_query_p99_ms": asked.p99_ms, "gate_query_cpu_ms": asked.cpu_ms}
    return {"judge_rows_per_s": judged} | queried | fanned._asdict()


def _missed(answers: dict[str, float]) -> list[str]:
    above = [f"{name}: {answers[name]} above {most}" for name, most in _MOST.items() if answers.get(name, 0.0) > most]
    return above + [
        f"{name}: {answers[name]} below {least}" for name, least in _LEAST.items() if answers.get(name, least) < least
    ]


def _show(found: dict[str, Any]) -> None:
    for kind in ("false_fail", "power", "passes"):
        for name, row in found[kind].items():
            others = "  ".join(f"{judge} {rows[kind][name]['rate']:.2f}" for judge, rows in found["judges"].items())
            median = row["median_hours"]
            when = f"median {median:6.2f} h" if median is not None else ""
            click.echo(f"{kind:<10} {name:<16} {row['rate']:.4f}  {when:<16} {others}")
    for name in _FIGURES:
        if name in found:
            click.echo(f"{name:<28} {found[name]}")
    for line in found["missed"]:
        click.echo(f"missed: {line}")
