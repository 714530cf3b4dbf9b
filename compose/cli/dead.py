"""`tidegate dead`: what could not be taken, why, and taking it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from compose.cli.ending import fail
from compose.cli.log import with_log
from ingest.contract.records import rfc3339
from ingest.contract.topics import ROLLUPS, SETTINGS
from ingest.door.dead import DeadLetter, dead_letters, explain, replay
from ingest.runtime.log.port import RecordTooLargeError

if TYPE_CHECKING:
    from ingest.runtime.log.port import Log

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
TOPIC = click.option("--topic", type=click.Choice(list(SETTINGS)), default=ROLLUPS, show_default=True)


@click.group()
def dead() -> None:
    """List, explain and replay dead letters. CONFIG is any process's file: its [log] is read.

    \b
    What devices sent and a gateway could not take is in telemetry.samples.v1:
      tidegate dead list ingest.toml --topic telemetry.samples.v1
    """


@dead.command("list")
@CONFIG
@TOPIC
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_command(config: Path, topic: str, *, as_json: bool) -> None:
    """The dead letters of a topic with their reasons, oldest first.

    \b
    Examples:
      tidegate dead list ingest.toml
      tidegate dead list ingest.toml --topic telemetry.samples.v1 --json
    """
    for letter in _letters(config, topic):
        line = f"{letter.offset:>8}  {rfc3339(letter.at)}  {letter.reason:<22} {letter.detail}"
        click.echo(msgspec.json.encode(_shown(letter)).decode() if as_json else line)


@dead.command("explain")
@CONFIG
@click.argument("offset", type=int)
@TOPIC
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain_command(config: Path, offset: int, topic: str, *, as_json: bool) -> None:
    """What the letter at OFFSET (as `list` shows it) is, why it could not be taken, and what to do.

    \b
    Example:
      tidegate dead explain ingest.toml 17
    """
    found = [letter for letter in _letters(config, topic) if letter.offset == offset]
    if not found:
        fail(f"no dead letter of {topic} at {offset}; `tidegate dead list` shows their offsets")
    told = explain(found[0])
    whole = _shown(found[0]) | {"explanation": list(told)}
    click.echo(msgspec.json.encode(whole).decode() if as_json else "\n".join(told))


@dead.command("replay")
@CONFIG
@TOPIC
@click.option("--reason", help="Only letters with this reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def replay_command(config: Path, topic: str, reason: str | None, *, as_json: bool) -> None:
    """Append dead letters to their topic again, after the cause has been mended.

    \b
    Example:
      tidegate dead replay ingest.toml --reason unknown_gateway
    """

    async def again(log: Log) -> int:
        letters = await dead_letters(log, topic)
        return await replay(log, [letter for letter in letters if reason in {None, letter.reason}])

    try:
        number = with_log(config, again)
    except RecordTooLargeError as error:
        fail(str(error))
    click.echo(msgspec.json.encode({"replayed": number}).decode() if as_json else f"{number} replayed")


def _letters(config: Path, topic: str) -> list[DeadLetter]:
    return with_log(config, lambda log: dead_letters(log, topic))


def _shown(letter: DeadLetter) -> dict[str, object]:
    return {
        "topic": letter.topic,
        "offset": letter.offset,
        "at": rfc3339(letter.at),
        "key": letter.key.decode("utf-8", "replace"),
        "reason": letter.reason,
        "detail": letter.detail,
        "bytes": len(letter.value or b""),
    }
