"""`tidegate doctor`: what is wrong around a process, and what to do about it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from compose.cli.config import read
from compose.cli.ending import refuse
from compose.doctor.examine import examine
from compose.doctor.finding import Finding, Level
from compose.doctor.mosquitto import findings, read_settings
from compose.processes.config import KINDS
from ingest.runtime.clock import SystemClock

COLOURS = {Level.GOOD: "green", Level.WARNING: "yellow", Level.BAD: "red"}
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--kind", type=click.Choice(list(KINDS)), help="Whose file it is. [default: as its sections tell]")
@click.option("--mosquitto-conf", type=FILE, help="Also judge this Mosquitto configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def doctor(config: Path, kind: str | None, mosquitto_conf: Path | None, *, as_json: bool) -> None:
    """Examine what a process needs: clock, ports, TLS, credentials, disk, broker, Kafka, store, versions.

    CONFIG is the file of any process. Each finding comes with its remedy. Run it as the process's own user.

    \b
    Examples:
      tidegate doctor edge.toml --mosquitto-conf /etc/mosquitto/mosquitto.conf
      tidegate doctor ingest.toml
      tidegate doctor api.toml --json | jq -r 'select(.level != "good") | .remedy'

    Exit code 0 when it can run (warnings included), 1 when it cannot, 2 when CONFIG is wrong.
    """
    # What it would say of refused connections is what is found.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    process = read(config, KINDS[kind or _kind(config)])
    found = list(examine(process, SystemClock()))
    if mosquitto_conf:
        found += findings(read_settings(mosquitto_conf.read_text(errors="replace")))
    for finding in found:
        click.echo(msgspec.json.encode(finding).decode() if as_json else _text(finding))
    sys.exit(1 if any(finding.level is Level.BAD for finding in found) else 0)


def _kind(path: Path) -> str:
    """The process that the file is of, by the section that only it has."""
    try:
        tree: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, ValueError) as error:
        refuse(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return next((kind for kind in ("edge", "analytics", "api") if kind in tree), "ingest")


def _text(finding: Finding) -> str:
    level = click.style(f"{finding.level:<8}", COLOURS[finding.level])
    remedy = f"\n{'':21}→ {finding.remedy}" if finding.remedy else ""
    return f"{level} {finding.about:<11} {finding.found}{remedy}"
