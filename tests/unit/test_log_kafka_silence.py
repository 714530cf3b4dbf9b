"""What the Kafka adapter does when nobody, or somebody else, answers at its address: it says so soon, and never hangs."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from typing import TYPE_CHECKING

import pytest

from ingest.contract.records import Outgoing
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog, appender, compacted, consumer, errors, topics
from ingest.runtime.log.port import LogUnavailableError
from tests.tcp_server import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOPIC = "test.silence"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (appender, compacted, consumer, topics):
        monkeypatch.setattr(module, "PATIENCE_S", 0.5)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def speaks_something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 100)
    writer.close()


async def assert_away(port: int) -> None:
    log = KafkaLog(KafkaConfig(bootstrap=f"127.0.0.1:{port}"), SystemClock())
    begun = time.monotonic()
    for call in (
        log.ensure_topics({TOPIC: TopicSettings(1, compacted=False, retention_ms=1)}),
        log.append([Outgoing(TOPIC, b"k", b"v")]),
        log.subscribe([TOPIC], group="g", member="m"),
        log.subscribe([TOPIC], group=None, member="m"),
        log.read_compacted(TOPIC),
    ):
        with pytest.raises(LogUnavailableError, match="kafka"):
            await call
    await log.close()
    await log.close()
    assert time.monotonic() - begun < 60
    with pytest.raises(LogUnavailableError, match="closed"):
        await log.append([Outgoing(TOPIC, b"k", b"v")])


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        await assert_away(unused.getsockname()[1])


@pytest.mark.parametrize("answer", [says_nothing, hangs_up, speaks_something_else])
async def test_somebody_listens_who_is_no_broker(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    async with serving(answer) as port:
        await assert_away(port)


def test_a_process_that_ends_before_all_is_closed_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "CLOSING_S", 0.0)
    begun: list[str] = []

    async def step(name: str) -> None:
        begun.append(name)
        await asyncio.Event().wait()

    async def closing() -> None:
        await errors.finish(step("stop"), step("disconnect"))
        await asyncio.sleep(0)

    # A step that is neither awaited nor closed would be a warning, and warnings are errors.
    asyncio.run(closing())
    gc.collect()
    assert begun in (["stop"], [])
