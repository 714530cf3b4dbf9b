"""Another process at the embedded log: `python -m tests.contract.log_child append|poll FILE TOPIC NAME`.

`append` creates the topic and appends until it is killed or has appended COUNT calls, and prints each call's number once it is durable.
`poll` is member NAME of group "g" until it is killed, and prints how many partitions it has whenever that changes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ingest.contract.records import Outgoing
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog

PARTITIONS = 4
PER_CALL = 10


def records(topic: str, name: str, call: int) -> list[Outgoing]:
    """The records of one call: their values name their number, at varying lengths."""
    numbers = range(call * PER_CALL, (call + 1) * PER_CALL)
    return [Outgoing(topic, f"{name}-{n % 3}".encode(), f"{n}:".encode() + b"x" * (n % 4000)) for n in numbers]


async def append(log: SqliteLog, topic: str, name: str, count: int) -> None:
    await log.ensure_topics({topic: TopicSettings(PARTITIONS, compacted=False, retention_ms=-1)})
    for call in range(count):
        await log.append(records(topic, name, call))
        print(call, flush=True)  # noqa: T201 - read by the test
    await log.close()


async def poll(log: SqliteLog, topic: str, name: str) -> None:
    consumer = await log.subscribe([topic], group="g", member=name)
    said = -1
    while True:
        await consumer.poll(100, 0.05)
        if len(consumer.assigned()) != said:
            said = len(consumer.assigned())
            print(said, flush=True)  # noqa: T201 - read by the test


def main(what: str, path: str, topic: str, name: str, count: str = "1000000") -> None:
    log = SqliteLog(Path(path), SystemClock(), patience_s=30)
    asyncio.run(append(log, topic, name, int(count)) if what == "append" else poll(log, topic, name))


if __name__ == "__main__":
    main(*sys.argv[1:])
