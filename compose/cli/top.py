"""`tidegate top` and `tidegate status`: the fleet now, from the API."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from compose.cli.access import Api, ApiError, api_options
from compose.cli.ending import FAILED, refuse
from compose.top.drawing import SECTIONS, drawn, head
from compose.top.keys import keys
from compose.top.picture import Picture, look
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELP = "q quit   space pause   s sites   i incidents   a alerts   d devices   r rollouts   e everything"
FOCUS = {name[0]: name for name in SECTIONS} | {"e": ""}
PLAIN_ROWS, PLAIN_WIDTH = 1000, 1000


@click.command()
@api_options
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="One picture, and end; so it is in a pipe, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a picture.")
def top(address: str, token_file: Path | None, interval: float, *, once: bool, as_json: bool) -> None:
    """The fleet, live: rates, lag, sites, incidents, alerts, the worst devices, rollouts.

    Keys: q quit, space pause, s i a d r one section alone (sites, incidents, alerts, devices, rollouts), e everything. Colours
    follow NO_COLOR. The token needs the scope `read`.

    \b
    Examples:
      tidegate top --token-file ~/.config/tidegate/token
      tidegate top --once | less
      tidegate top --json | jq .received_per_s
    """
    pictures = _pictures(Api(address, token_file), interval)
    try:
        if not as_json and not once and sys.stdout.isatty() and sys.stdin.isatty():
            _live(Api(address, token_file), interval)
            return
        for picture in pictures:
            if as_json:
                click.echo(msgspec.json.encode(picture).decode())
            else:
                _console().print(drawn(picture, rows=PLAIN_ROWS))
            sys.stdout.flush()
            if once or not as_json:
                return
    except ApiError as error:
        refuse(str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        return


@click.command()
@api_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the picture and its problems.")
def status(address: str, token_file: Path | None, *, as_json: bool) -> None:
    """Is all well? One line a problem; exit code 0 when there is none, 1 when there is, 2 when the API does not answer.

    \b
    Examples:
      tidegate status
      tidegate status --json | jq .problems
    """
    try:
        picture = look(lambda path: Api(address, token_file).request("GET", path), SystemClock().now_ms())
    except ApiError as error:
        refuse(str(error))
    problems = picture.problems()
    if as_json:
        click.echo(msgspec.json.encode(msgspec.structs.asdict(picture) | {"problems": problems}).decode())
    else:
        _console().print(head(picture))
        for problem in problems or ["all is well"]:
            click.echo(problem)
    sys.exit(FAILED if problems else 0)


def _console() -> Console:
    # In a pipe nothing is cut to fit a terminal that is not there.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def _pictures(api: Api, interval: float) -> Iterator[Picture]:
    """From the second look on, because the first one knows no rates. Raises ApiError."""
    clock, before = SystemClock(), None
    while True:
        now = look(lambda path: api.request("GET", path), clock.now_ms(), before)
        if before is not None:
            yield now
        before = now
        time.sleep(interval)


def _live(api: Api, interval: float) -> None:
    clock, console, only, paused = SystemClock(), _console(), "", False
    picture: Picture | None = None
    trouble = ""
    with keys() as next_key, Live(console=console, screen=True, auto_refresh=False) as live:
        due = clock.monotonic()
        while True:
            if clock.monotonic() >= due and not paused:
                try:
                    picture, trouble = look(lambda path: api.request("GET", path), clock.now_ms(), picture), ""
                except ApiError as error:
                    if not error.passing:
                        raise
                    trouble = str(error)
                due = clock.monotonic() + interval
            live.update(_screen(picture, only, trouble or ("paused" if paused else ""), console.height), refresh=True)
            key = next_key(interval if paused else due - clock.monotonic())
            if key == "q":
                return
            paused = paused != (key == " ")
            only = FOCUS.get(key, only)


def _screen(picture: Picture | None, only: str, note: str, height: int) -> Group:
    lines = Text(f"{HELP}   {note}", "dim")
    if picture is None:
        return Group(lines, Text("asking the API …"))
    room = height - 5
    rows = max(1, room - 2 if only else room // len(SECTIONS) - 3)
    return Group(drawn(picture, rows=rows, only=only), Text(), lines)
