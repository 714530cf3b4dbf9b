"""`tidegate dead`: what could not be taken, why, and taking it again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from compose.cli.config import read
from compose.processes.config import IngestProcess
from ingest.contract.topics import ROLLUPS, SETTINGS
from ingest.door.dead import DeadLetter, dead_letters, replay
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import open_log
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingest.runtime.log.port import Log

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
TOPIC = click.option("--topic", type=click.Choice(list(SETTINGS)), default=ROLLUPS, show_default=True)
T = TypeVar("T")


@click.group()
def dead() -> None:
    """List, explain and replay dead letters. CONFIG is the ingest process's file."""


@dead.command("list")
@CONFIG
@TOPIC
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_command(config: Path, topic: str, *, as_json: bool) -> None:
    """The dead letters of a topic with their reasons."""
    for letter in _letters(config, topic):
        line = f"{letter.offset:>8}  {letter.reason:<22} {letter.detail}"
        click.echo(msgspec.json.encode(_shown(letter)).decode() if as_json else line)


@dead.command("replay")
@CONFIG
@TOPIC
@click.option("--reason", help="Only letters with this reason.")
def replay_command(config: Path, topic: str, reason: str | None) -> None:
    """Append dead letters to their topic again, after the cause has been mended."""
    chosen = [letter for letter in _letters(config, topic) if reason in {None, letter.reason}]
    click.echo(f"{_with_log(config, lambda log: replay(log, chosen))} replayed")


def _letters(config: Path, topic: str) -> list[DeadLetter]:
    return _with_log(config, lambda log: dead_letters(log, topic))


def _with_log(config: Path, use: Callable[[Log], Awaitable[T]]) -> T:
    settings = read(config, IngestProcess).log

    async def opened() -> T:
        log = open_log(settings, SystemClock())
        try:
            return await use(log)
        finally:
            await log.close()

    try:
        return asyncio.run(opened())
    except LogUnavailableError as error:
        click.echo(f"tidegate: log: {error}", err=True)
        sys.exit(1)


def _shown(letter: DeadLetter) -> dict[str, object]:
    return {"topic": letter.topic, "offset": letter.offset, "reason": letter.reason, "detail": letter.detail}
