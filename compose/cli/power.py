"""`tidegate rollout power`: what a plan will find on a fleet like this one, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from analytics.rollouts.recording import BadRecordingError
from compose.bench.gate.world import World
from compose.cli.ending import refuse
from compose.cli.plan_file import judge_plan_of, read_plan_file, staging_of
from compose.planning.harms import harm_named
from compose.planning.plots import Curve, Frame, svg_plot, text_plot
from compose.planning.power import Question, forecast

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose.planning.power import Forecast

_USUAL = World(alarm_rate=0.002, update_failed=0.01)
_FLEET = {
    "crash_rate": (0, "Per device and hour."),
    "frailty": (0.01, "Gamma shape; small: unlike devices."),
    "loss": (0, "Devices lost anyhow, per hour."),
    "enrolment": (0.25, "Hours until all are drawn."),
    "alarm_rate": (0, "Detectors' alarms per device and hour, for guards of kind alarm."),
    "update_failed": (0, "Share of updates that fail anyhow, for guards of kind update."),
    "between": (0, "Soaked values: log deviation between devices."),
}
"""What may be said of the fleet, field by field of `World`: the least that it may be, and what it is."""


def _fleet_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for field, (least, told) in reversed(_FLEET.items()):
        usual = getattr(_USUAL, field)
        name = f"--{field.replace('_', '-')}"
        command = click.option(name, type=click.FloatRange(least), default=usual, show_default=True, help=told)(command)
    return command


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--devices", type=click.IntRange(4), default=1000, show_default=True, help="The fleet, both arms.")
@click.option("--hours", type=click.FloatRange(1), default=72.0, show_default=True, help="How long it is watched.")
@_fleet_options
@click.option("--past/--no-past", default=False, help="Whether values from before the release are known.")
@click.option("--find", default="crash rate x2", show_default=True, help="For which harm sizes are proposed.")
@click.option(
    "--probability",
    type=click.FloatRange(0.01, 0.999),
    default=0.9,
    show_default=True,
    help="How surely it is to be found.",
)
@click.option("--runs", type=click.IntRange(10), default=200, show_default=True, help="Simulated rollouts a row.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the plot there, too.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
def power(
    plan: Path,
    *,
    devices: int,
    find: str,
    probability: float,
    runs: int,
    svg: Path | None,
    as_json: bool,
    **fleet: Any,
) -> None:
    """Which harm PLAN (TOML, JSON or YAML) finds by when, on a fleet like this; which cohorts and stages find the one asked for.

    A plan with stages is simulated stage by stage, and told is how surely the harm is found before each one begins. What of a plan is
    not simulated is said at the end.

    \b
    Examples:
      tidegate rollout power plan.toml --devices 400 --crash-rate 0.002
      tidegate rollout power plan.toml --find "2 % bricked" --svg power.svg
    """
    try:
        fields = read_plan_file(plan)
        (policy, share), staging = judge_plan_of(fields), staging_of(fields)
        wanted = harm_named(find, policy.guards)
    except (BadRecordingError, ValueError, OSError) as error:
        refuse(f"{plan}: {error}")
    share = min(staging.shares[0], 1.0 - staging.hold_out) if staging else share
    canaries = max(1, round(share * devices))
    world = _USUAL._replace(canaries=canaries, controls=max(1, devices - canaries), **fleet)
    if world.enrolment > world.hours:
        refuse(f"--hours {world.hours:g}: all are drawn only after {world.enrolment:g} hours (--enrolment)")
    found = forecast(Question(policy, world, runs, wanted, probability, devices, staging, _others(fields)))
    curves = [Curve(row.harm, [(0.0, 0.0), *zip(row.hours, row.found_by, strict=True)]) for row in found.rows]
    frame = Frame("Probability that the harm has been found", "hours", "probability", (probability, f"{probability:g}"))
    if svg is not None:
        svg.write_text(svg_plot(curves, frame))
    click.echo(msgspec.json.encode(found).decode() if as_json else f"{_table(found)}\n\n{text_plot(curves, frame)}")


def _others(fields: dict[str, Any]) -> list[str]:
    return ["the blast-radius budget"] if fields.get("budget") else []


def _table(found: Forecast) -> str:
    hours = found.rows[0].hours
    lines = [f"{found.canaries} canaries, {found.controls} controls, {found.runs} simulated rollouts a row", ""]
    lines += [f"{'harm':<20}" + "".join(f"{f'{hour:g} h':>8}" for hour in hours) + f"{'median':>10}"]
    for row in found.rows:
        median = "never" if row.median_hours is None else f"{row.median_hours:.1f} h"
        lines += [f"{row.harm:<20}" + "".join(f"{100 * p:7.1f}%" for p in row.found_by) + f"{median:>10}"]
    passed = "".join(f"{100 * p:7.1f}%" for p in found.rows[0].passed_by)
    lines += [f"{'none, passed':<20}{passed}", ""]
    least = found.least_canaries
    told = f"at least {least} canaries and as many controls" if least else "more devices than there are, or more time"
    lines += [f"to find {found.wanted!r} with probability {found.probability:g}: {told}"]
    for stage in found.stages:
        soak = "not found in this time" if stage.soak_hours is None else f"soak {stage.soak_hours:g} h"
        lines += [f"a stage of {stage.canaries} canaries, {stage.controls} controls, {soak}"]
    for number, planned in enumerate(found.plan_stages, 1):
        before = f"found before that with probability {planned.found_before:.2f}"
        lines += [
            f"the plan's stage {number}: {planned.canaries} canaries from {planned.begins_hours:g} h on, {before}"
        ]
    if found.not_simulated:
        lines += [f"not simulated: {', '.join(found.not_simulated)}"]
    return "\n".join(lines)
