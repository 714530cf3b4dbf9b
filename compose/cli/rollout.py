"""`tidegate rollout`: start a rollout, ask its gate, end it; through the API."""

from __future__ import annotations

import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx
import msgspec

from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
ERROR = 2
POLL_S = 2.0


class Api:
    """The API as the command line sees it; every problem ends the command with exit code 2."""

    def __init__(self, address: str, token_file: Path) -> None:
        try:
            token = read_secret(token_file)
        except SecretError as error:
            _give_up(str(error))
        self._http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=10.0)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The `data` of the answer."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            _give_up(f"{self._http.base_url}: {error or type(error).__name__}; is `tidegate api run` running there?")
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            _give_up(f"{answer.status_code} {problem.get('title', '')}: {problem.get('detail', answer.text[:200])}")
        return answer.json().get("data")


@click.group()
@click.option("--api", "address", envvar="TIDEGATE_API", default="http://127.0.0.1:8780", show_default=True)
@click.option(
    "--token-file",
    envvar="TIDEGATE_TOKEN_FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the bearer token (environment: TIDEGATE_TOKEN_FILE).",
)
@click.pass_context
def rollout(context: click.Context, address: str, token_file: Path) -> None:
    """Start, watch and end rollouts through the API.

    \b
    Examples:
      export TIDEGATE_TOKEN_FILE=~/.config/tidegate/token
      tidegate rollout start plan.toml
      tidegate rollout gate firmware-2.3.0 --wait --exit-code
    """
    context.obj = Api(address, token_file)


@rollout.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def start(api: Api, plan: Path) -> None:
    """Begin the rollout that PLAN (TOML or JSON) describes."""
    try:
        text = plan.read_text()
        body = msgspec.json.decode(text) if plan.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        _give_up(f"{plan}: {error}")
    click.echo(msgspec.json.encode(api.ask("POST", "/v1/rollouts", body)).decode())


@rollout.command("list")
@click.pass_obj
def list_command(api: Api) -> None:
    """All rollouts, one JSON object a line."""
    for item in api.ask("GET", "/v1/rollouts"):
        click.echo(msgspec.json.encode(item).decode())


@rollout.command()
@click.argument("name")
@click.pass_obj
def end(api: Api, name: str) -> None:
    """End a rollout: its gate answers no more, nothing is rolled back."""
    click.echo(msgspec.json.encode(api.ask("POST", f"/v1/rollouts/{name}/end")).decode())


@rollout.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until the gate says pass or fail.")
@click.option("--timeout", "timeout_s", default=86_400.0, show_default=True, help="Seconds to wait at the most.")
@click.option("--exit-code", is_flag=True, help="Exit 0 on pass, 1 on fail, 3 while inconclusive (2: error).")
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@click.pass_obj
def gate(api: Api, name: str, timeout_s: float, *, wait: bool, exit_code: bool, as_json: bool) -> None:
    """May this rollout go on?"""
    for answer in _answers(api, name, timeout_s if wait else 0.0):
        last = answer
    click.echo(msgspec.json.encode(last).decode() if as_json else f"{last['verdict']}: {last['reason']}")
    sys.exit(EXIT_CODES[last["verdict"]] if exit_code else 0)


def _answers(api: Api, name: str, wait_s: float) -> Iterator[dict[str, Any]]:
    deadline = time.monotonic() + wait_s
    while True:
        answer = api.ask("GET", f"/v1/gates/{name}")
        yield answer
        if answer["verdict"] != "inconclusive" or time.monotonic() > deadline:
            return
        time.sleep(POLL_S)


def _give_up(text: str) -> Any:
    click.echo(f"tidegate: {text}", err=True)
    sys.exit(ERROR)
