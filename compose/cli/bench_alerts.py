"""`tidegate bench alerts`: how soon alerts are told, how fast rules are judged, and how few requests a storm takes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from compose.bench.alerts import arrival, evaluations, storm
from compose.bench.load import BenchFailedError
from compose.bench.stand import stand
from compose.cli.bench_figures import disk_option, json_option, tell_figures
from compose.cli.ending import FAILED
from compose.cli.stack import examples, say
from compose.stack.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = ("arrival", "evaluations", "storm")
MOST_MS, LEAST_EVALUATIONS = 1500, 50e6


@click.command(
    epilog=examples(
        "tidegate bench alerts --json",
        "tidegate bench alerts --only evaluations",
        "tidegate bench alerts --quick --json",
    )
)
@click.option("--only", type=click.Choice(ROWS), multiple=True, help="Only this row; may be repeated.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes: shows that it works, measures little.")
@disk_option("what Kafka and the outbox keep is")
@json_option
def alerts(only: tuple[str, ...], folder: Path, *, quick: bool, as_json: bool) -> None:
    """From the sample that closes a window to the webhook, through a gateway, Kafka and analytics as they are shipped.

    Beside it the judging of rules on one core, and a storm of 10,000 unlike faults.
    Exit code 1 when a bar is missed.
    """
    figures: dict[str, Any] = {}
    try:
        for name in only or ROWS:
            say(f"{name} …")
            figures |= _measured(name, folder.resolve(), quick=quick)
    except (BenchFailedError, StackError, OSError) as error:
        raise click.ClickException(str(error)) from error
    figures["missed"] = [] if quick else missed(figures)
    tell_figures(figures, as_json=as_json, width=36)
    sys.exit(FAILED if figures["missed"] else 0)


def missed(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures miss."""
    found = []
    if figures.get("alert_p99_ms", 0) > MOST_MS:
        found.append(f"alert_p99_ms: {figures['alert_p99_ms']} above {MOST_MS}")
    if figures.get("evaluations_per_core_second", LEAST_EVALUATIONS) < LEAST_EVALUATIONS:
        found.append(
            f"evaluations_per_core_second: {figures['evaluations_per_core_second']} below {LEAST_EVALUATIONS:g}"
        )
    if figures.get("alert_told") != figures.get("alert_faults"):
        found.append(f"alert_told: {figures['alert_told']} of {figures['alert_faults']}")
    if figures.get("storm_told") != figures.get("storm_faults"):
        found.append(f"storm_told: {figures['storm_told']} of {figures['storm_faults']}")
    return found


def _measured(name: str, folder: Path, *, quick: bool) -> dict[str, float]:
    if name == "evaluations":
        return evaluations.run_evaluations(evaluations.QUICK if quick else evaluations.SpeedPlan())
    if name == "storm":
        return asyncio.run(storm.run_storm(folder, storm.QUICK if quick else storm.WHOLE))
    return asyncio.run(_arrival(folder, quick=quick))


async def _arrival(folder: Path, *, quick: bool) -> dict[str, float]:
    async with stand(folder, say) as made:
        return await arrival.measure_arrival(arrival.QUICK if quick else arrival.WHOLE, made)
