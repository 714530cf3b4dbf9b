"""The stack's Kafka, with the client that the project uses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError
from msgspec.structs import replace

from compose.stack.endpoints import KafkaEndpoint, MqttEndpoint
from compose.stack.errors import NotReady
from compose.stack.kafka_probe import probe_kafka

if TYPE_CHECKING:
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers


def access(endpoint: KafkaEndpoint) -> dict[str, Any]:
    return {
        "bootstrap_servers": endpoint.bootstrap,
        "security_protocol": endpoint.security_protocol,
        "sasl_mechanism": endpoint.mechanism,
        "sasl_plain_username": endpoint.username,
        "sasl_plain_password": endpoint.password,
    }


async def make_topic(endpoint: KafkaEndpoint, name: str) -> None:
    admin = AIOKafkaAdminClient(**access(endpoint))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()


async def send(endpoint: KafkaEndpoint, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(
        **access(endpoint), enable_idempotence=True, acks="all", compression_type="zstd"
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=value)


async def read(endpoint: KafkaEndpoint, topic: str, count: int, group: str | None = None) -> set[bytes]:
    consumer = AIOKafkaConsumer(topic, **access(endpoint), group_id=group, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(60):
        return {(await consumer.getone()).value for _ in range(count)}


async def test_an_idempotent_producer_and_a_group_exchange_records(kafka: RunningServer[KafkaEndpoint]) -> None:
    values = [b"%d" % number for number in range(50)]
    await make_topic(kafka.endpoint, "stack-exchange")
    await send(kafka.endpoint, "stack-exchange", values)
    assert await read(kafka.endpoint, "stack-exchange", 50, group="stack-readers") == set(values)


async def test_records_survive_a_restart_and_a_kill(kafka: RunningServer[KafkaEndpoint]) -> None:
    await make_topic(kafka.endpoint, "stack-kept")
    await send(kafka.endpoint, "stack-kept", [b"before"])
    await asyncio.to_thread(kafka.restart)
    await send(kafka.endpoint, "stack-kept", [b"between"])
    await asyncio.to_thread(kafka.kill)
    await asyncio.to_thread(kafka.start)
    assert await read(kafka.endpoint, "stack-kept", 2) == {b"before", b"between"}


async def test_a_wrong_password_is_refused(kafka: RunningServer[KafkaEndpoint]) -> None:
    stranger = replace(kafka.endpoint, password="wrong")
    with pytest.raises(NotReady, match="signing in"):
        probe_kafka(stranger)
    with pytest.raises(KafkaConnectionError):
        await make_topic(stranger, "stack-stranger")


async def test_no_credentials_are_refused(kafka: RunningServer[KafkaEndpoint]) -> None:
    with pytest.raises(NotReady):
        probe_kafka(replace(kafka.endpoint, username="", password=""))


async def test_a_topic_is_made_only_on_purpose(kafka: RunningServer[KafkaEndpoint]) -> None:
    with pytest.raises(KafkaError):
        async with AIOKafkaProducer(**access(kafka.endpoint), request_timeout_ms=2000) as producer:
            await producer.send_and_wait("stack-never-made", b"x")


def test_a_port_where_something_else_listens_is_no_kafka(mosquitto: RunningServer[MqttEndpoint]) -> None:
    with pytest.raises(NotReady):
        probe_kafka(KafkaEndpoint(f"127.0.0.1:{mosquitto.endpoint.port}"))
