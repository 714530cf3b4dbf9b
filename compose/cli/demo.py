"""`tidegate demo`: the whole loop on this machine."""

from __future__ import annotations

import asyncio
import signal
import sys

import click
import msgspec

from compose.stack.errors import StackError


@click.command()
@click.option("--release", type=click.Choice(["bad", "good"]), default="bad", show_default=True, help="What 2.3.0 is.")
@click.option("--stack", "with_servers", is_flag=True, help="Through Kafka, Mosquitto, InfluxDB and Alertmanager.")
@click.option("--keep", is_flag=True, help="Leave everything running and print the page's address.")
@click.option("--seed", default=0, help="Other devices, other chances. [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="Only one JSON object, as the last line.")
def demo(release: str, seed: int, *, with_servers: bool, keep: bool, as_json: bool) -> None:
    """Three sites, sixty devices and this very machine; a release; a verdict; a rollback if it must be.

    \b
    Examples:
      tidegate demo
      tidegate demo --release good --json
      tidegate demo --stack --keep

    Exit code 0 when the loop closed, 1 when it did not (the missing step is named).
    """
    from compose.cli.ending import fail  # noqa: PLC0415 - loads more than a help text needs
    from compose.demo.demo import DemoSettings, run_demo  # noqa: PLC0415 - loads the whole system

    settings = DemoSettings(harmful=release == "bad", with_servers=with_servers, keep=keep, seed=seed, quiet=as_json)
    # A SIGTERM unwinds as Ctrl-C does: servers and children that were started are ended.
    # asyncio's own handler of SIGINT cancels the whole in order; it is put in place only over Python's.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        summary = asyncio.run(run_demo(settings))
    except StackError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(0 if keep else 1)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    sys.exit(0 if summary.ok else 1)
