"""`tidegate rollout`: start a rollout, ask its gate, end it; through the API."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from compose.cli.access import Api, ApiError, api_options
from compose.cli.assignment import assignment
from compose.cli.ending import refuse
from compose.cli.explain import explain_command
from compose.cli.judge import judge_command
from compose.cli.plan import plan_command
from compose.cli.plan_file import read_plan_file
from compose.cli.power import power
from compose.cli.rehearse import rehearse_command
from compose.cli.replay import replay

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
HOLD_S = 5.0
"""How long the API may hold a question; well below the time after which an answer is given up."""
AS_JSON = click.option("--json", "as_json", is_flag=True, help="The rollout as one JSON object.")


@click.group()
@api_options
@click.pass_context
def rollout(context: click.Context, address: str, token_file: Path | None) -> None:
    """Start, watch and end rollouts through the API; judge them again from the log.

    \b
    Examples:
      export TIDEGATE_TOKEN_FILE=~/.config/tidegate/token
      tidegate rollout start plan.toml
      tidegate rollout gate firmware-2.3.0 --wait --exit-code
      tidegate rollout replay analytics.toml firmware-2.3.0
    """
    context.obj = Api(address, token_file)


rollout.add_command(replay)
for command in (assignment, judge_command, explain_command, plan_command, power, rehearse_command):
    rollout.add_command(command)


@rollout.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@AS_JSON
@click.pass_obj
def start(api: Api, plan: Path, *, as_json: bool) -> None:
    """Begin the rollout that PLAN (TOML, JSON or YAML) describes.

    \b
    Examples:
      tidegate rollout plan plan.toml        is it right?
      tidegate rollout start plan.toml
    """
    try:
        body = read_plan_file(plan)
    except (OSError, ValueError) as error:
        refuse(f"{plan}: {error}")
    _tell(api.ask("POST", "/v1/rollouts", body)["data"], as_json=as_json)


@rollout.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a rollout.")
@click.pass_obj
def list_command(api: Api, *, as_json: bool) -> None:
    """All rollouts, the newest first.

    \b
    Examples:
      tidegate rollout list
      tidegate rollout list --json | jq -r 'select(.state == "running") | .rollout'
    """
    cursor = ""
    while True:
        page = api.ask("GET", f"/v1/rollouts?limit=1000&cursor={quote(cursor)}")
        for item in page["data"]:
            _tell(item, as_json=as_json)
        cursor = page.get("next", "")
        if not cursor:
            return


@rollout.command()
@click.argument("name")
@AS_JSON
@click.pass_obj
def end(api: Api, name: str, *, as_json: bool) -> None:
    """End a rollout: its gate answers no more, nothing is rolled back.

    \b
    Example:
      tidegate rollout end firmware-2.3.0
    """
    _tell(api.ask("POST", f"/v1/rollouts/{quote(name, safe='')}/end")["data"], as_json=as_json)


def _with_reason(verb: str, text: str) -> click.Command:
    shown = f'\b\nExample:\n  tidegate rollout {verb} firmware-2.3.0 --reason "seen on the bench"'

    @click.command(verb, help=text, epilog=shown)
    @click.argument("name")
    @click.option("--reason", required=True, help="Why; it goes into the audit log.")
    @AS_JSON
    @click.pass_obj
    def command(api: Api, name: str, reason: str, *, as_json: bool) -> None:
        answer = api.ask("POST", f"/v1/rollouts/{quote(name, safe='')}/{verb}", {"reason": reason})
        _tell(answer["data"], as_json=as_json)

    return command


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    verdict, rollback = found.get("verdict") or {}, found.get("rollback") or {}
    versions = f"{found['previous_release'] or '?'} → {found['release'] or '?'}"
    said = f"{verdict['verdict']}: {verdict['reason']}" if verdict else "no verdict yet"
    back = f"; rollback {rollback['phase']}" if rollback else ""
    click.echo(f"{found['rollout']:<24} {versions:<20} {found['state']:<8} {said}{back}")


rollout.add_command(_with_reason("pause", "Draw no further device; those that are drawn go on being judged."))
rollout.add_command(_with_reason("resume", "Draw devices again."))
rollout.add_command(
    _with_reason("abort", "Whatever the gate says: the verdict is fail, and who has the release goes back.")
)
rollout.add_command(_with_reason("override", "Whatever the gate says: the verdict is pass, and nobody goes back."))
rollout.add_command(
    _with_reason("approve", "Approve the rollback of a failed rollout in mode approve; it takes two people.")
)


@rollout.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until the gate says pass or fail.")
@click.option("--timeout", "timeout_s", default=86_400.0, show_default=True, help="Seconds to wait at the most.")
@click.option("--exit-code", is_flag=True, help="Exit 0 on pass, 1 on fail, 3 while inconclusive (2: error).")
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@click.pass_obj
def gate(api: Api, name: str, timeout_s: float, *, wait: bool, exit_code: bool, as_json: bool) -> None:
    """May this rollout go on?

    \b
    Examples:
      tidegate rollout gate firmware-2.3.0
      tidegate rollout gate firmware-2.3.0 --wait --exit-code      in a pipeline
    """
    try:
        answer = _answer(api, f"/v1/gates/{quote(name, safe='')}", timeout_s if wait else 0.0)
    except ApiError as error:
        refuse(str(error))
    click.echo(msgspec.json.encode(answer).decode() if as_json else f"{answer['verdict']}: {answer['reason']}")
    sys.exit(EXIT_CODES[answer["verdict"]] if exit_code else 0)


def _answer(api: Api, path: str, wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        begun = time.monotonic()
        hold_s = max(0.0, min(HOLD_S, deadline - begun))
        try:
            answer = dict(api.request("GET", f"{path}?wait={hold_s:.3f}" if hold_s else path)["data"])
            if answer["verdict"] != "inconclusive" or time.monotonic() >= deadline:
                return answer
        except ApiError as error:
            # Who waits for a day does not want to hear that the API was restarted meanwhile.
            if not error.passing or time.monotonic() >= deadline:
                raise
        # The API holds the question until the gate decides; where it does not, we wait here.
        time.sleep(max(0.0, begun + hold_s - time.monotonic()))
