"""`tidegate incidents`: alarms that share a time and a cause, through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click
import msgspec

from compose.cli.access import Api, api_options
from ingest.contract.events import IncidentState
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
@api_options
@click.pass_context
def incidents(context: click.Context, address: str, token_file: Path | None) -> None:
    """What goes wrong, one entry for each cause: who is affected, what they share, which metric was first.

    \b
    Examples:
      export TIDEGATE_TOKEN_FILE=~/.config/tidegate/token
      tidegate incidents list --state growing
      tidegate incidents list --site north --device pump-7 --json
      tidegate incidents show inc-3f1c0a8e55d2
    """
    context.obj = Api(address, token_file)


@incidents.command("list")
@click.option("--state", type=click.Choice([state.value for state in IncidentState]), help="Only these.")
@click.option("--site", default="", help="Only those that list a device of this site as affected.")
@click.option("--device", default="", help="Only those that list this device as affected.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object an incident.")
@click.pass_obj
def list_command(api: Api, state: str | None, site: str, device: str, limit: int, *, as_json: bool) -> None:
    """All that are known: those that go on first, then the newest change.

    \b
    Examples:
      tidegate incidents list --state growing
      tidegate incidents list --site north --json
    """
    asked = {"site": site, "device": device, "limit": limit} | ({"state": state} if state else {})
    for item in api.ask("GET", f"/v1/incidents?{urlencode(asked)}")["data"]:
        click.echo(msgspec.json.encode(item).decode() if as_json else _line(item))


@incidents.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(api: Api, name: str, *, as_json: bool) -> None:
    """One incident: NAME is what `list` and notifications call it.

    \b
    Example:
      tidegate incidents show inc-3f1c0a8e55d2
    """
    item = api.ask("GET", f"/v1/incidents/{quote(name, safe='')}")["data"]
    click.echo(msgspec.json.encode(item).decode() if as_json else "\n".join(_lines(item)))


def _line(item: dict[str, Any]) -> str:
    return f"{item['incident']}  {item['state']:<8}  {rfc3339(item['since'])}  {item['summary']}"


def _lines(item: dict[str, Any]) -> list[str]:
    ended = f", ended {rfc3339(item['ended'])}" if item["ended"] else ""
    merged = f" into {item['merged_into']}" if item["merged_into"] else ""
    lines = [
        item["summary"],
        f"{item['state']}{merged} since {rfc3339(item['since'])}, newest {rfc3339(item['newest'])}{ended}",
        f"{item['devices']} devices at {item['sites']} sites, {item['series']} series, {item['active']} still alarm",
    ]
    lines += ["", "shared by the affected (log10 of the chance):"] if item["cause"] else []
    lines += [f"  {one['log10_p']:8.1f}  {one['sentence']}" for one in item["cause"]]
    lines += ["", "symptoms, the root cause first:"]
    lines += [f"  {_symptom(one)}" for one in item["symptoms"]]
    lines += ["", "affected, the first to alarm first:"]
    lines += [f"  {_series(one)}" for one in item["affected"]]
    return lines + ([f"  and {item['left_out']} more"] if item["left_out"] else [])


def _symptom(one: dict[str, Any]) -> str:
    direction = "" if one["metric"] in ("silence", "site_dark") else (" high" if one["above"] else " low")
    first = f"first on {one['first_on']} of {one['devices']} devices"
    return f"{one['metric']}{direction}: {first}, since {rfc3339(one['since'])}"


def _series(one: dict[str, Any]) -> str:
    until = f" until {rfc3339(one['until'])}" if one["until"] else ""
    number = f" {one['value']:.4g}, expected {one['expected']:.4g}" if one["scale"] else ""
    return f"{whom(one)} {one['metric']}{number}, since {rfc3339(one['since'])}{until}"


def whom(one: dict[str, Any]) -> str:
    """A device, or the kind of devices that have shifted together."""
    kind = " ".join(one[name] for name in ("hardware", "firmware") if one[name])
    return f"{one['site']}/{one['device']}" if one["device"] else f"all {kind}"
