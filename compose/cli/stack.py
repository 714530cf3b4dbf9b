"""`tidegate stack`: the real servers on this machine, up, looked at, and down."""

from __future__ import annotations

import os
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click
import msgspec

from compose.stack.cache import user_folder
from compose.stack.errors import StackError
from compose.stack.folder import StackFolder
from compose.stack.peers import PEERS
from compose.stack.stack import ALL, down, obtain_programs, status, up

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose.stack.stack import ServerStatus

P = ParamSpec("P")

dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: user_folder("XDG_STATE_HOME", ".local/state", os.environ) / "tidegate" / "stack",
    show_default="the user's state folder, tidegate/stack",
    help="Folder of data, credentials and logs.",
)
only_option = click.option(
    "--only", "names", type=click.Choice(ALL), multiple=True, help="This server alone; may be repeated. [default: all]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def told_plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Turns a StackError into one message and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (StackError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def examples(*commands: str) -> str:
    """Command lines below a help text, each on its own line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


@click.group(
    epilog=examples(
        "tidegate stack up",
        "tidegate stack up --only mosquitto --only kafka",
        "tidegate stack status --json",
        "tidegate stack down",
    )
)
def stack() -> None:
    """Run Apache Kafka, Mosquitto, InfluxDB, Alertmanager and Prometheus on this machine.

    All listen on loopback, on free ports, with generated credentials. A server is taken from the environment
    (TIDEGATE_KAFKA_BOOTSTRAP, TIDEGATE_MQTT_URL, TIDEGATE_INFLUXDB_URL, TIDEGATE_ALERTMANAGER_URL,
    TIDEGATE_PROMETHEUS_URL), from PATH, from the user's cache, from the system's packages, or built, in this order.
    """
    # As an exception it passes through the blocks that end compilers and downloads.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


@stack.command("up", epilog=examples("tidegate stack up", "tidegate stack up --dir ./servers --json"))
@dir_option
@only_option
@json_option
@told_plainly
def up_command(folder: Path, names: tuple[str, ...], *, as_json: bool) -> None:
    """Start what does not run yet and wait until it answers.

    Leaves running servers alone, so it may be repeated. The credentials are in endpoints.json in the folder; with
    --json they are printed.
    """
    endpoints = up(folder, names or ALL, say)
    if as_json:
        click.echo(msgspec.json.encode(endpoints))
        return
    show([server for server in status(folder) if server.name in (names or ALL)])
    click.echo(f"Addresses and credentials: {StackFolder(folder).endpoints}")


@stack.command("status", epilog=examples("tidegate stack status", "tidegate stack status --only kafka --json"))
@dir_option
@only_option
@json_option
@told_plainly
def status_command(folder: Path, names: tuple[str, ...], *, as_json: bool) -> None:
    """Ask every server how it is; exit code 1 when one of them does not run or does not answer."""
    found = [server for server in status(folder) if server.name in (names or ALL)]
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        show(found)
    if any(server.state in ("stopped", "silent") for server in found):
        raise SystemExit(1)


@stack.command("down", epilog=examples("tidegate stack down", "tidegate stack down --only kafka"))
@dir_option
@only_option
@json_option
@told_plainly
def down_command(folder: Path, names: tuple[str, ...], *, as_json: bool) -> None:
    """Stop the servers that `up` started from this folder; their data stays."""
    ended = down(folder, names or ALL)
    if as_json:
        click.echo(msgspec.json.encode({"stopped": ended}))
    else:
        click.echo(f"Stopped: {', '.join(ended)}" if ended else "Nothing of this folder was running.")


@stack.command("obtain", epilog=examples("tidegate stack obtain", "tidegate stack obtain --only influxdb"))
@click.option(
    "--only",
    "names",
    type=click.Choice((*ALL, *PEERS)),
    multiple=True,
    help=f"This program alone; may be repeated. [default: all but {', '.join(PEERS)}]",
)
@json_option
@told_plainly
def obtain_command(names: tuple[str, ...], *, as_json: bool) -> None:
    """Fetch or build the servers' programs without starting any.

    InfluxDB is compiled when no binary is there, which takes some minutes; the result is kept in the user's cache.
    Telegraf (a peer to measure against), toxiproxy (faults of a network) and what a Kubernetes API server for tests is made
    of (kube-apiserver, etcd, crds: compiled, some minutes, too) are obtained only when they are named.
    """
    programs = obtain_programs(names or ALL, say)
    if as_json:
        click.echo(msgspec.json.encode(programs, enc_hook=str))
        return
    for name, program in programs.items():
        click.echo(
            f"{name:<13} {f'{program.version:<9} {program.path} ({program.source})' if program else 'runs elsewhere'}"
        )


def say(line: str) -> None:
    """Progress goes beside the output."""
    click.echo(line, err=True)


def show(servers: list[ServerStatus]) -> None:
    """One line a server."""
    for server in servers:
        pid = f"pid {server.pid}" if server.pid else ""
        click.echo(
            f"{server.name:<13} {server.state:<8} {server.version:<9} {server.address:<28} {pid:<12} {server.detail}"
        )
