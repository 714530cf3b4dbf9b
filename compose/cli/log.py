"""The log of a process's file, opened for one command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compose.cli.ending import fail, refuse
from compose.processes.config import LogOnly
from ingest.runtime.clock import SystemClock
from ingest.runtime.config import ConfigError, load_config
from ingest.runtime.log.open import open_log
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ingest.contract.records import Record
    from ingest.runtime.log.open import LogConfig
    from ingest.runtime.log.port import Log

T = TypeVar("T")

QUIET_S = 3.0
"""A log that says nothing for so long has no more records, whatever offsets it promised."""


def with_log(path: Path, use: Callable[[Log], Awaitable[T]]) -> T:
    """What `use` makes of the log that `path` names; a bad file ends the command with 2, an absent log with 1."""
    settings = _settings(path)

    async def opened() -> T:
        log = open_log(settings, SystemClock())
        try:
            return await use(log)
        finally:
            await log.close()

    try:
        return asyncio.run(opened())
    except LogUnavailableError as error:
        fail(f"log: {error}")


def _settings(path: Path) -> LogConfig:
    try:
        settings = load_config(path, LogOnly).log
    except ConfigError as error:
        refuse(str(error))
    try:
        settings.check()
    except ValueError as error:
        refuse(f"{path}: log.{error}")
    # Looking must not create what is not there.
    if settings.kind == "sqlite" and not Path(settings.path).exists():
        fail(f"{path}: log.path: {settings.path} does not exist; has a process with this log ever run?")
    return settings


async def every_record(log: Log, topic: str) -> list[Record]:
    """Everything that a topic holds now. Raises LogUnavailableError."""
    consumer = await log.subscribe((topic,), group=None, member="reader")
    found: list[Record] = []
    try:
        ends = {place: end for place, end in (await consumer.end_offsets()).items() if end}
        while ends and (records := await consumer.poll(1000, QUIET_S)):
            found += records
            for record in records:
                if record.offset + 1 >= ends.get(record.topic_partition, 0):
                    ends.pop(record.topic_partition, None)
    finally:
        await consumer.close()
    return found
