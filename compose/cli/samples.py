"""`tidegate samples`: raw samples out of a site's flight recorder, asked for and fetched through the API."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import click

from compose.cli.access import Api, ApiError, api_options
from compose.cli.ending import fail, refuse
from compose.cli.sample_rows import FORMATS
from compose.cli.spans import moment
from compose.cli.waiting import wait_for
from ingest.contract.records import rfc3339
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@click.group()
@api_options
@click.pass_context
def samples(context: click.Context, address: str, token_file: Path | None) -> None:
    """Raw samples, at full resolution, from the gateways' journals. The token needs the scope samples:pull.

    \b
    Examples:
      tidegate samples pull --site north --device pump-7 --metric 'temp*' --from -2h
      tidegate samples pull --site north --device 'pump-*' --from 2026-11-25T06:00 --to 2026-11-25T07:00 --out pumps.csv
      tidegate samples get 4f2a9c01d7…       the answer to a request that was made before
    """
    context.obj = Api(address, token_file)


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    as_json = click.option("--json", "form", flag_value="json", help="One JSON object a line.")
    as_csv = click.option("--csv", "form", flag_value="csv", help="CSV with a header.")
    out = click.option(
        "--out", type=click.Path(dir_okay=False), help="Write to a file; .csv and .json choose the format."
    )
    timeout = click.option("--timeout", "timeout_s", default=300.0, show_default=True, help="Seconds to wait.")
    return as_json(as_csv(out(timeout(command))))


@samples.command()
@click.option("--site", required=True)
@click.option("--device", default="*", show_default=True, help="Name or shell pattern.")
@click.option("--metric", "metrics", multiple=True, help="Name or shell pattern; several are possible. [default: all]")
@click.option("--from", "start", required=True, help="From when on (event time): -2h, now, ms, or ISO 8601.")
@click.option("--to", "end", default="now", show_default=True, help="Until before when.")
@click.option("--most", "most_samples", default=5_000_000, show_default=True, help="Samples of each gateway at most.")
@click.option("--expiry", "expiry_s", type=float, help="Seconds for which the request stands. [default: --timeout]")
@_output_options
@click.pass_obj
def pull(
    api: Api,
    *,
    site: str,
    device: str,
    metrics: tuple[str, ...],
    start: str,
    end: str,
    most_samples: int,
    expiry_s: float | None,
    timeout_s: float,
    form: str | None,
    out: str | None,
) -> None:
    """Ask a site's gateways for raw samples, wait, and print them.

    A gateway that is away finds the request when it comes back, as long as it stands (--expiry); `samples get` fetches
    the answer then. Exit codes: 0 all there is, 1 not (all) answered, 2 the request is wrong or not allowed.

    \b
    Examples:
      tidegate samples pull --site north --device pump-7 --metric 'temp*' --from -2h
      tidegate samples pull --site north --from -10m --json | jq .value
    """
    now = SystemClock().now_ms()
    try:
        span = moment(start, now), moment(end, now)
    except ValueError as error:
        refuse(f"--from, --to: {error}")
    body = {
        "site": site,
        "device": device,
        "metrics": list(metrics),
        "start": span[0],
        "end": span[1],
        "most_samples": most_samples,
        "expiry_s": max(1.0, timeout_s if expiry_s is None else expiry_s),
    }
    asked = api.ask("POST", "/v1/samples", body)["data"]
    _fetch(api, asked["request"], timeout_s, form, out)


@samples.command()
@click.argument("request")
@_output_options
@click.pass_obj
def get(api: Api, request: str, *, timeout_s: float, form: str | None, out: str | None) -> None:
    """Print the answer to REQUEST; waits for it as `pull` does.

    \b
    Examples:
      tidegate samples get 4f2a9c01d7
      tidegate samples get 4f2a9c01d7 --out pumps.csv
    """
    _fetch(api, request, timeout_s, form, out)


def _fetch(api: Api, request: str, timeout_s: float, form: str | None, out: str | None) -> None:
    place = f"/v1/samples/{quote(request, safe='')}"
    try:
        found = wait_for(lambda: dict(api.request("GET", place)["data"]), timeout_s)
    except ApiError as error:
        refuse(str(error))
    answered = [gateway for gateway in found["gateways"] if gateway["state"] == "answered"]
    with _opened(out) as stream:
        for line in FORMATS[_form(form, out)](_chunks(api, place, answered)):
            stream.write(line)
    _conclude(found)


def _form(form: str | None, out: str | None) -> str:
    suffix = (out or "").rpartition(".")[2]
    return form or (suffix if suffix in FORMATS else "text")


def _chunks(api: Api, place: str, gateways: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for gateway in gateways:
        for number in range(gateway["chunks"]):
            try:
                answer = api.request("GET", f"{place}/{quote(gateway['gateway'], safe='')}/{number}")
            except ApiError as error:
                fail(str(error))
            chunk = dict(answer["data"])
            if chunk["attempt"] != gateway["attempt"]:
                fail(f"{gateway['gateway']} has begun its answer anew: run `tidegate samples get` again")
            yield chunk


@contextmanager
def _opened(out: str | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    try:
        with click.open_file(out, "w", encoding="utf-8", atomic=True) as stream:
            yield stream
    except OSError as error:
        fail(f"{out}: {error.strerror}")


def _conclude(found: dict[str, Any]) -> None:
    # The rows go to stdout; what they do not contain is told on stderr.
    missing = [line for gateway in found["gateways"] for line in _shortfall(gateway, found)]
    for line in missing:
        click.echo(f"tidegate: {line}", err=True)
    if any(gateway["state"] != "answered" for gateway in found["gateways"]):
        sys.exit(1)


def _shortfall(gateway: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    name, state = gateway["gateway"], gateway["state"]
    if state in {"waiting", "answering"}:
        how = "has not answered yet: it may be away" if state == "waiting" else "is still answering"
        yield (
            f"{name} {how}; the request stands until {rfc3339(found['expires'])}, "
            f"`tidegate samples get {found['request']}` fetches what comes"
        )
    elif state == "expired":
        yield f"{name} did not answer before the request expired at {rfc3339(found['expires'])}: it is away; ask again"
    elif state == "refused":
        yield f"{name} refuses: {gateway['reason']}"
    elif state == "forgotten":
        yield f"{name} had answered, and newer answers took the place: ask again"
    else:
        yield from _uncovered(name, gateway, found)


def _uncovered(name: str, gateway: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    first, last = gateway["covered_from"], gateway["covered_until"]
    if first > found["start"]:
        yield f"{name} has forgotten what was before {rfc3339(first)}"
    if last < found["end"]:
        yield f"{name} has answered up to {rfc3339(last)} only: more samples than asked for, or they had not come yet"
    if blocks := gateway["unreadable_blocks"]:
        spans = ", ".join(f"{rfc3339(b[2])} to {rfc3339(b[3])} ({b[1]})" for b in gateway["unreadable"][:3])
        yield f"{name} could not read {blocks} blocks of its journal: {spans}"
