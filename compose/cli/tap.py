"""`tidegate tap`: samples of a gateway on this machine, as they are acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from compose.cli.config import read
from compose.cli.ending import fail
from compose.processes.config import EdgeProcess
from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--device", default="*", show_default=True, help="Name or shell pattern.")
@click.option("--metric", "metrics", multiple=True, help="Name or shell pattern; several are possible. [default: all]")
@click.option("--count", type=click.IntRange(min=1), help="End after so many samples.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def tap(config: Path, device: str, metrics: tuple[str, ...], count: int | None, *, as_json: bool) -> None:
    """Watch samples as a running gateway acknowledges them; run as the gateway's own user. Ctrl-C ends it.

    At most 5,000 samples a second are shown: what is left out (or read too slowly) is counted on stderr, and never holds
    up the gateway.

    \b
    Examples:
      tidegate tap edge.toml --device 'pump-*' --metric temperature
      tidegate tap edge.toml --json --count 100 | jq .value
    """
    from edge_aggregator.live.client import NotRunningError, ask  # noqa: PLC0415 - only this command needs it
    from edge_aggregator.live.protocol import Question  # noqa: PLC0415

    data_dir = Path(read(config, EdgeProcess).edge.data_dir)
    question = Question(ask="tap", device=device, metrics=list(metrics))
    try:
        shown = _show(ask(data_dir, question), count, as_json=as_json)
    except NotRunningError as error:
        fail(str(error))
    except KeyboardInterrupt:
        return
    if count is None or shown < count:
        fail("the gateway has stopped")


def _show(lines: Iterator[bytes], count: int | None, *, as_json: bool) -> int:
    shown = 0
    for line in lines:
        row = msgspec.json.decode(line, type=dict[str, Any])
        if "error" in row:
            fail(str(row["error"]))
        if "missed" in row:
            click.echo(f"tidegate: {row['missed']} samples were not shown", err=True)
            continue
        sys.stdout.write(line.decode() if as_json else _text(row))
        sys.stdout.flush()
        shown += 1
        if shown == count:
            break
    return shown


def _text(row: dict[str, Any]) -> str:
    inner = ",".join(f"{name}={value}" for name, value in row["labels"].items())
    named = f"{row['metric']}{{{inner}}}" if inner else row["metric"]
    cells = (rfc3339(row["ts"]), row["device"], named, repr(row["value"]))
    if sys.stdout.isatty():
        return f"{cells[0]}  {cells[1]:<24} {cells[2]:<32} {cells[3]}\n"
    return "\t".join(cells) + "\n"
