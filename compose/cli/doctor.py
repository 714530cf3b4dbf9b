"""`tidegate doctor`: what is wrong around a gateway, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from compose.cli.config import read
from compose.doctor.edge import examine
from compose.doctor.finding import Level
from compose.doctor.mosquitto import findings, read_settings
from compose.processes.config import EdgeProcess
from ingest.runtime.clock import SystemClock

COLOURS = {Level.GOOD: "green", Level.WARNING: "yellow", Level.BAD: "red"}
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--mosquitto-conf", type=FILE, help="Also judge this Mosquitto configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def doctor(config: Path, mosquitto_conf: Path | None, *, as_json: bool) -> None:
    """Examine a gateway: key, disk, room, broker, log. Each finding comes with its remedy.

    \b
    Example:
      tidegate doctor edge.toml --mosquitto-conf /etc/mosquitto/mosquitto.conf

    Exit code 0 when it can run (warnings included), 1 when it cannot.
    """
    found = list(examine(read(config, EdgeProcess), SystemClock()))
    if mosquitto_conf:
        found += findings(read_settings(mosquitto_conf.read_text(errors="replace")))
    for finding in found:
        if as_json:
            click.echo(msgspec.json.encode(finding).decode())
            continue
        level = click.style(f"{finding.level:<8}", COLOURS[finding.level])
        click.echo(f"{level} {finding.about:<7} {finding.found}")
        if finding.remedy:
            click.echo(f"{'':17}→ {finding.remedy}")
    sys.exit(1 if any(finding.level is Level.BAD for finding in found) else 0)
