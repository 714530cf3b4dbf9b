"""Kafka goes away and comes back: consumers say so, nothing hangs, nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ingest.contract.records import Outgoing
from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.kafka.errors import PATIENCE_S
from ingest.runtime.log.port import LogUnavailableError
from tests.contract.log_place import DEADLINE_S, eventually, numbered, polled, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from compose.stack.endpoints import KafkaEndpoint
    from ingest.runtime.log.port import Consumer
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

SETTINGS = TopicSettings(2, compacted=True, retention_ms=-1)


@pytest.fixture
async def log(kafka_config: KafkaConfig) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(kafka_config, SystemClock())
    yield log
    await log.close()


@pytest.fixture
async def topic(log: KafkaLog) -> str:
    name = f"test.{secrets.token_hex(6)}"
    await eventually(log.ensure_topics, {name: SETTINGS})
    return name


async def until_away(consumer: Consumer) -> LogUnavailableError:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            await consumer.poll(100, 0.2)
        except LogUnavailableError as error:
            return error
    raise AssertionError("the consumer never noticed")


async def test_consumers_notice_and_go_on(kafka: RunningServer[KafkaEndpoint], log: KafkaLog, topic: str) -> None:
    member = await log.subscribe([topic], group=f"{topic}.g", member="m")
    idle = await log.subscribe([topic], group=f"{topic}.g", member="without a partition")
    third = await log.subscribe([topic], group=f"{topic}.g", member="third")
    tail = await log.subscribe([topic], group=None, member="t")
    await log.append(numbered(topic, 20))
    assert values(await polled(member, idle, third, until=lambda found: len(found) >= 20)) == list(range(20))
    assert values(await polled(tail, until=lambda found: len(found) >= 20)) == list(range(20))
    await asyncio.to_thread(kafka.kill)
    for consumer in (member, idle, third, tail):
        assert "kafka" in str(await until_away(consumer))
    begun = time.monotonic()
    for consumer in (idle, third):
        await consumer.close()
    assert time.monotonic() - begun < 30
    await asyncio.to_thread(kafka.start)
    await eventually(log.append, numbered(topic, 20, first=20))
    again = await eventually(_rest, tail)
    assert set(again) >= set(range(20, 40))
    rejoined = await eventually(_rest, member)
    assert set(rejoined) >= set(range(20, 40))
    await member.close()
    await tail.close()


async def _rest(consumer: Consumer) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + DEADLINE_S
    while not set(range(20, 40)) <= set(found) and time.monotonic() < deadline:
        try:
            found += values(await consumer.poll(100, 0.2))
        except LogUnavailableError:
            continue
    return found


async def test_what_was_acknowledged_survives_the_brokers_death(
    kafka: RunningServer[KafkaEndpoint], log: KafkaLog, topic: str
) -> None:
    acknowledged, killing = 0, None
    for call in range(10_000):
        try:
            await log.append(numbered(topic, 10, first=10 * call))
        except LogUnavailableError:
            break
        acknowledged += 10
        killing = killing or asyncio.create_task(_kill_soon(kafka))
    assert killing
    await killing
    await asyncio.to_thread(kafka.start)
    await eventually(log.append, numbered(topic, 10, first=acknowledged))
    tail = await eventually(_tail, log, topic)
    found = await polled(tail, until=lambda found: set(values(found)) >= set(range(acknowledged + 10)))
    assert set(values(found)) == set(range(acknowledged + 10))
    table = await log.read_compacted(topic)
    newest = {b"key-%d" % (n % 16): b"%d" % n for n in range(acknowledged + 10)}
    assert {key: record.value for key, record in table.items()} == newest
    await tail.close()


async def _kill_soon(kafka: RunningServer[KafkaEndpoint]) -> None:
    await asyncio.sleep(0.5)
    await asyncio.to_thread(kafka.kill)


async def _tail(log: KafkaLog, topic: str) -> Consumer:
    return await log.subscribe([topic], group=None, member="t")


async def test_a_log_that_was_opened_during_the_outage_works_after_it(
    kafka: RunningServer[KafkaEndpoint], kafka_config: KafkaConfig, topic: str
) -> None:
    await asyncio.to_thread(kafka.stop)
    early = KafkaLog(kafka_config, SystemClock())
    for call in (
        early.append([Outgoing(topic, b"k", b"v")]),
        early.subscribe([topic], group="g", member="m"),
        early.ensure_topics({topic: SETTINGS}),
        early.read_compacted(topic),
    ):
        with pytest.raises(LogUnavailableError):
            await call
    await asyncio.to_thread(kafka.start)
    await eventually(early.append, [Outgoing(topic, b"k", b"v")])
    assert (await early.read_compacted(topic))[b"k"].value == b"v"
    await early.close()


async def test_closing_while_the_brokers_are_frozen_is_quick_and_silent(
    kafka: RunningServer[KafkaEndpoint], kafka_config: KafkaConfig, topic: str
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    log = KafkaLog(kafka_config, SystemClock())
    await log.append(numbered(topic, 20))
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LogUnavailableError):
            await log.append(numbered(topic, 20))
        # Now the client has given up waiting as well, and its batches wait to be sent again.
        await asyncio.sleep(2 * PATIENCE_S)
        begun = time.monotonic()
        await log.close()
        assert time.monotonic() - begun < 30
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_wrong_password_is_an_unavailable_log(kafka_config: KafkaConfig, topic: str, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    stranger = KafkaLog(
        KafkaConfig(bootstrap=kafka_config.bootstrap, username="tidegate", password_file=str(tmp_path / "wrong")),
        SystemClock(),
    )
    with pytest.raises(LogUnavailableError):
        await stranger.append([Outgoing(topic, b"k", b"v")])
    await stranger.close()


async def test_topics_are_kept_as_the_contract_has_them(kafka_config: KafkaConfig, topic: str) -> None:
    admin = AIOKafkaAdminClient(**kafka_config.client())
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    found = {entry[0]: entry[1] for entry in response.resources[0][4]}
    assert found["cleanup.policy"] == "compact"
    assert found["min.compaction.lag.ms"] == "86400000"
    assert found["message.timestamp.type"] == "LogAppendTime"
