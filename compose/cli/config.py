"""`tidegate config init` and `tidegate check`."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from compose.processes.config import KINDS
from ingest.runtime.config import ConfigError, load_config

T = TypeVar("T", bound=msgspec.Struct)
KIND = click.argument("kind", type=click.Choice(list(KINDS)))


def read(path: Path, kind: type[T]) -> T:
    """A process's configuration; a bad one ends the command with exit code 2."""
    try:
        return load_config(path, kind)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


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
@click.option("--json", "as_json", is_flag=True, help='One JSON object: {"ok", "error"}.')
def check(kind: str, path: Path, *, as_json: bool) -> None:
    """Validate a configuration file without starting anything.

    \b
    Example:
      tidegate check edge edge.toml
    """
    try:
        load_config(path, KINDS[kind])
    except ConfigError as error:
        click.echo(_json(str(error)) if as_json else str(error), err=not as_json)
        sys.exit(2)
    click.echo(_json("") if as_json else f"{path}: good")


def _json(error: str) -> str:
    return msgspec.json.encode({"ok": not error, "error": error}).decode()
