"""`tidegate config init` and `tidegate check`."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from compose.cli.ending import REFUSED, refuse
from compose.processes.check import load_process, warnings
from compose.processes.config import KINDS, Process
from compose.processes.files import require_files
from ingest.runtime.config import ConfigError

T = TypeVar("T", bound=Process)
KIND = click.argument("kind", type=click.Choice(list(KINDS)))


def read(path: Path, kind: type[T]) -> T:
    """A process's configuration; a bad one ends the command with exit code 2."""
    try:
        return load_process(path, kind)
    except ConfigError as error:
        refuse(str(error))


def example(kind: str) -> str:
    """The commented example of one process."""
    return (files("compose.processes") / "examples" / f"{kind}.toml").read_text()


@click.group()
def config() -> None:
    """Print commented example configurations."""


@config.command("init")
@KIND
def init(kind: str) -> None:
    """Print a commented example with every setting.

    \b
    Example:
      tidegate config init edge > edge.toml
    """
    click.echo(example(kind), nl=False)


@click.command()
@KIND
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--elsewhere", is_flag=True, help="The files it names are on another machine: do not look for them.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"ok", "error", "warnings"}.')
def check(kind: str, path: Path, *, elsewhere: bool, as_json: bool) -> None:
    """Validate a configuration file without starting anything; exit code 2 when it is wrong.

    The keys, secrets and certificates that it names must be there, and usable, as when the process starts.

    \b
    Example:
      tidegate check edge edge.toml
    """
    try:
        config = load_process(path, KINDS[kind])
        if not elsewhere:
            require_files(path, config)
        found = list(warnings(config))
    except ConfigError as error:
        if not as_json:
            refuse(str(error))
        click.echo(_json(str(error), []))
        sys.exit(REFUSED)
    for warning in [] if as_json else found:
        click.echo(f"{path}: warning: {warning}", err=True)
    click.echo(_json("", found) if as_json else f"{path}: good")


def _json(error: str, found: list[str]) -> str:
    return msgspec.json.encode({"ok": not error, "error": error, "warnings": found}).decode()
