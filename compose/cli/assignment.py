"""`tidegate rollout assignment`: who was drawn into which arm, for systems that roll out by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from analytics.rollouts.assignment import assigned, hawkbit_filters
from analytics.rollouts.replay import ReplayError, recorded_evidence
from compose.cli.ending import fail
from compose.cli.log import every_record, with_log
from ingest.contract.events import Arm
from ingest.contract.topics import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.rollouts.assignment import Assigned
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("name")
@click.option("--arm", type=click.Choice([arm.value for arm in Arm]), default=Arm.CANARY.value, show_default=True)
@click.option(
    "--as", "form", type=click.Choice(["devices", "json", "hawkbit"]), default="devices", show_default=True,
    help="site/device a line; a JSON object a line, of both arms; or hawkBit's target filter queries.",
)  # fmt: skip
@click.option("--json", "form", flag_value="json", help="The same as --as json.")
def assignment(config: Path, name: str, arm: str, form: str) -> None:
    """Who is in an arm of the rollout NAME now; CONFIG is any process's file: its [log] is read.

    \b
    Examples:
      tidegate rollout assignment analytics.toml firmware-2.3.0 > canaries.txt
      tidegate rollout assignment analytics.toml firmware-2.3.0 --as hawkbit
    """

    async def look(log: Log) -> list[Record]:
        return list(await every_record(log, EVIDENCE))

    try:
        found = assigned(recorded_evidence(name, with_log(config, look)))
        lines = _lines(found, Arm(arm), form)
    except (ReplayError, ValueError) as error:
        fail(str(error))
    if not found:
        fail(f"{name}: nobody is drawn")
    for line in lines:
        click.echo(line)


def _lines(found: Sequence[Assigned], arm: Arm, form: str) -> list[str]:
    if form == "json":
        return [msgspec.json.encode(one).decode() for one in found]
    ours = [one for one in found if one.arm is arm]
    return hawkbit_filters(one.device for one in ours) if form == "hawkbit" else [f"{o.site}/{o.device}" for o in ours]
