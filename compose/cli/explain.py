"""`tidegate rollout explain`: why the gate says what it says, and how its e-values came there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from analytics.rollouts.explain import explain
from analytics.rollouts.replay import ReplayError, recorded_evidence
from compose.cli.ending import fail
from compose.cli.log import every_record, with_log
from compose.planning.plots import Curve, Frame, svg_plot, text_plot
from ingest.contract.events import RolloutPlan
from ingest.contract.records import read_event
from ingest.contract.topics import EVIDENCE, PLANS

if TYPE_CHECKING:
    from analytics.rollouts.explain import Explanation
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log


@click.command("explain")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("name")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the plot there, too.")
@click.option("--json", "as_json", is_flag=True, help="Sentences and paths as one JSON object.")
def explain_command(config: Path, name: str, svg: Path | None, *, as_json: bool) -> None:
    """Say why the rollout NAME has its verdict; CONFIG is any process's file: its [log] is read.

    \b
    Examples:
      tidegate rollout explain analytics.toml firmware-2.3.0
      tidegate rollout explain analytics.toml firmware-2.3.0 --svg evidence.svg
    """

    async def look(log: Log) -> list[Record]:
        return [record for topic in (PLANS, EVIDENCE) for record in await every_record(log, topic)]

    records = with_log(config, look)
    try:
        evidence = recorded_evidence(name, records)
    except ReplayError as error:
        fail(str(error))
    plan = _plan(name, records)
    found = explain(plan.guards, plan.alpha, evidence)
    if svg is not None:
        svg.write_text(plotted(found, name, as_svg=True))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo("\n".join([*found.sentences, "", plotted(found, name, as_svg=False)]))


def plotted(found: Explanation, name: str, *, as_svg: bool) -> str:
    """Every guard's weighted e-value for harm over the hours, against 1/alpha."""
    curves = [Curve(trace.guard, list(zip(trace.hours, trace.harm, strict=True))) for trace in found.traces]
    frame = Frame(f"{name}: log10 of weight x e-value", "hours since the first draw", "log10", (found.limit, "1/alpha"))
    return svg_plot(curves, frame) if as_svg else text_plot(curves, frame)


def _plan(name: str, records: list[Record]) -> RolloutPlan:
    plans = [
        plan
        for record in records
        if record.topic == PLANS and record.key == name.encode() and (plan := read_event(record, RolloutPlan))
    ]
    if not plans:
        fail(f"{name}: the log holds no plan of a rollout of that name")
    return plans[-1]
