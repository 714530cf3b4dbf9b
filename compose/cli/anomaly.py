"""`tidegate anomaly`: what detectors saw, and what people say is none; through the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import click
import msgspec

from compose.cli.access import Api, api_options
from compose.cli.incidents import whom
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
@api_options
@click.pass_context
def anomaly(context: click.Context, address: str, token_file: Path | None) -> None:
    """What detectors saw in series; say that it is none, look at what was said, take it back.

    \b
    Examples:
      export TIDEGATE_TOKEN_FILE=~/.config/tidegate/token
      tidegate anomaly list --device pump-7
      tidegate anomaly normal anm-3f1c0a8e55d2b917 --reason "emptied on Mondays"
      tidegate anomaly normal anm-3f1c0a8e55d2b917 --cohort --reason "all of rev-b do that"
      tidegate anomaly said
      tidegate anomaly undo fb-9b2e6a01c4d7 --reason "it was a leak"
    """
    context.obj = Api(address, token_file)


@anomaly.command("list")
@click.option("--site", default="", help="Only of this site.")
@click.option("--device", default="", help="Only of this device.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object an anomaly.")
@click.pass_obj
def list_command(api: Api, site: str, device: str, limit: int, *, as_json: bool) -> None:
    """The newest anomalies, one for each alarm of a series.

    \b
    Examples:
      tidegate anomaly list --site north --device pump-7
      tidegate anomaly list --json | jq .score
    """
    asked = urlencode({"site": site, "device": device, "limit": limit})
    for item in api.ask("GET", f"/v1/anomalies?{asked}")["data"]:
        _show(item, _anomaly, as_json=as_json)


@anomaly.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is kept with your token's name.")
@click.option("--cohort", is_flag=True, help="For this metric of all devices with the same hardware.")
@click.pass_obj
def normal(api: Api, name: str, reason: str, *, cohort: bool) -> None:
    """Say that anomaly NAME (as `list` calls it) is none: what is no rarer is not told any more.

    \b
    Example:
      tidegate anomaly normal anm-3f1c0a8e55d2b917 --reason "emptied on Mondays"
    """
    body = {"anomaly": name, "reason": reason, "scope": "cohort" if cohort else "series"}
    click.echo(msgspec.json.encode(api.ask("POST", "/v1/feedback", body)["data"]).decode())


@anomaly.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is kept with your token's name.")
@click.pass_obj
def undo(api: Api, name: str, reason: str) -> None:
    """Take back what was said (NAME as `said` calls it): all is told again as if it had not been said.

    \b
    Example:
      tidegate anomaly undo fb-9b2e6a01c4d7 --reason "it was a leak"
    """
    answer = api.ask("POST", f"/v1/feedback/{quote(name, safe='')}/undo", {"reason": reason})
    click.echo(msgspec.json.encode(answer["data"]).decode())


@anomaly.command("said")
@click.option("--all", "undone", is_flag=True, help="Also what was taken back.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object each.")
@click.pass_obj
def said_command(api: Api, *, undone: bool, as_json: bool) -> None:
    """What people said is normal, the newest first.

    \b
    Example:
      tidegate anomaly said --all
    """
    for item in api.ask("GET", f"/v1/feedback?limit=1000&undone={str(undone).lower()}")["data"]:
        _show(item, _said, as_json=as_json)


def _show(item: dict[str, Any], line: Any, *, as_json: bool) -> None:
    click.echo(msgspec.json.encode(item).decode() if as_json else line(item))


def _anomaly(item: dict[str, Any]) -> str:
    numbers = f"{item['value']:.4g}, expected {item['expected']:.4g}, score {item['score']:.3f}"
    place = f"{whom(item)} {item['metric']}"
    return f"{item['episode']}  {item['status']:<9}  {rfc3339(item['since'])}  {place}: {numbers} ({item['detector']})"


def _said(item: dict[str, Any]) -> str:
    whom = f"{item['site']}/{item['device']}" if item["scope"] == "series" else f"all of hardware {item['hardware']}"
    back = f"; taken back by {item['undone_by']}: {item['undone_reason']}" if item["undone_at"] else ""
    words = f"{item['metric']} of {whom} ({item['detector']}) up to rarity {item['rarity']:.3g}"
    return f"{item['id']}  {rfc3339(item['at'])}  {words}, by {item['by']}: {item['reason']}{back}"
