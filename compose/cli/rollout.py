"""`tidegate rollout`: start a rollout, ask its gate, end it; through the API."""

from __future__ import annotations

import sys
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx
import msgspec

from compose.cli.ending import refuse
from compose.cli.replay import replay
from ingest.runtime.secrets import SecretError, read_secret

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
POLL_S = 2.0


class ApiError(RuntimeError):
    """The API cannot be reached or says no; `passing` when asking again may help."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


class Api:
    """The API as the command line sees it."""

    def __init__(self, address: str, token_file: Path | None) -> None:
        self._address, self._token_file = address, token_file

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer; a problem ends the command with exit code 2."""
        try:
            return self.request(method, path, body)
        except ApiError as error:
            refuse(str(error))

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer. Raises ApiError."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            answer = httpx.request(method, self._address.rstrip("/") + path, json=body, headers=headers, timeout=10.0)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = f"{error or type(error).__name__}; is `tidegate api run` running there?"
            raise ApiError(f"{self._address}: {why}", passing=True) from error
        if answer.is_error:
            raise ApiError(_problem(answer), passing=answer.is_server_error)
        return dict(msgspec.json.decode(answer.content))

    def _token(self) -> str:
        if self._token_file is None:
            refuse("no token: give --token-file, or set TIDEGATE_TOKEN_FILE; `tidegate keys token FILE` makes one")
        try:
            return read_secret(self._token_file)
        except (SecretError, UnicodeDecodeError) as error:
            refuse(str(error))


def _problem(answer: httpx.Response) -> str:
    # RFC 9457, where the API speaks; whatever stands between may answer anything.
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{answer.status_code} {answer.reason_phrase}: {answer.text[:200]}"
    mistakes = [f"{one.get('path')}: {one.get('message')}" for one in told.get("errors") or []]
    return "\n".join(
        [f"{answer.status_code} {told.get('title', '')}: {told.get('detail', '')}".rstrip(": "), *mistakes]
    )


@click.group()
@click.option("--api", "address", envvar="TIDEGATE_API", default="http://127.0.0.1:8780", show_default=True)
@click.option(
    "--token-file",
    envvar="TIDEGATE_TOKEN_FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the bearer token (environment: TIDEGATE_TOKEN_FILE).",
)
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


@rollout.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def start(api: Api, plan: Path) -> None:
    """Begin the rollout that PLAN (TOML or JSON) describes."""
    try:
        text = plan.read_text()
        body = msgspec.json.decode(text) if plan.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        refuse(f"{plan}: {error}")
    click.echo(msgspec.json.encode(api.ask("POST", "/v1/rollouts", body)["data"]).decode())


@rollout.command("list")
@click.pass_obj
def list_command(api: Api) -> None:
    """All rollouts, the newest first, one JSON object a line."""
    cursor = ""
    while True:
        page = api.ask("GET", f"/v1/rollouts?limit=1000&cursor={quote(cursor)}")
        for item in page["data"]:
            click.echo(msgspec.json.encode(item).decode())
        cursor = page.get("next", "")
        if not cursor:
            return


@rollout.command()
@click.argument("name")
@click.pass_obj
def end(api: Api, name: str) -> None:
    """End a rollout: its gate answers no more, nothing is rolled back."""
    click.echo(msgspec.json.encode(api.ask("POST", f"/v1/rollouts/{quote(name, safe='')}/end")["data"]).decode())


@rollout.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until the gate says pass or fail.")
@click.option("--timeout", "timeout_s", default=86_400.0, show_default=True, help="Seconds to wait at the most.")
@click.option("--exit-code", is_flag=True, help="Exit 0 on pass, 1 on fail, 3 while inconclusive (2: error).")
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@click.pass_obj
def gate(api: Api, name: str, timeout_s: float, *, wait: bool, exit_code: bool, as_json: bool) -> None:
    """May this rollout go on?"""
    try:
        answer = _answer(api, f"/v1/gates/{quote(name, safe='')}", timeout_s if wait else 0.0)
    except ApiError as error:
        refuse(str(error))
    click.echo(msgspec.json.encode(answer).decode() if as_json else f"{answer['verdict']}: {answer['reason']}")
    sys.exit(EXIT_CODES[answer["verdict"]] if exit_code else 0)


def _answer(api: Api, path: str, wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            answer = dict(api.request("GET", path)["data"])
            if answer["verdict"] != "inconclusive" or time.monotonic() >= deadline:
                return answer
        except ApiError as error:
            # Who waits for a day does not want to hear that the API was restarted meanwhile.
            if not error.passing or time.monotonic() >= deadline:
                raise
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
