"""Kafka behind TLS, client certificates and SCRAM: who has all three gets in, nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ingest.contract.topics import TopicSettings
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.port import LogUnavailableError
from tests.contract.log_place import eventually, numbered, polled, values
from tests.kafka_tls import PASSWORD, USER, SecureBroker
from tests.unit.test_log_open import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose.stack.endpoints import KafkaEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

TOPIC = "test.security"


@pytest.fixture(scope="module")
def broker(kafka: RunningServer[KafkaEndpoint], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """`kafka` is asked for so that the program is there."""
    broker = SecureBroker(tmp_path_factory.mktemp("secure"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def config(broker: SecureBroker, tmp_path: Path) -> KafkaConfig:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return KafkaConfig(
        bootstrap=broker.bootstrap,
        username=USER,
        password_file=str(tmp_path / "password"),
        mechanism="SCRAM-SHA-512",
        tls_ca=broker.file("authority.pem"),
        tls_certificate=broker.file("client.pem"),
        tls_key=broker.file("client-key.pem"),
    )


async def test_who_has_all_three_gets_in(config: KafkaConfig) -> None:
    log = KafkaLog(config, SystemClock())
    await eventually(log.ensure_topics, {TOPIC: TopicSettings(2, compacted=True, retention_ms=-1)})
    await log.append(numbered(TOPIC, 10))
    member = await log.subscribe([TOPIC], group="g", member="m")
    assert values(await polled(member, until=lambda found: len(found) >= 10)) == list(range(10))
    assert len(await log.read_compacted(TOPIC)) == 10
    await member.close()
    await log.close()


@pytest.mark.parametrize("missing", ["password", "certificate", "authority", "tls"])
async def test_nobody_else_does(config: KafkaConfig, tmp_path: Path, missing: str) -> None:
    (tmp_path / "wrong").write_text("wrong")
    other = self_signed(tmp_path)
    stranger = {
        "password": replace(config, password_file=str(tmp_path / "wrong")),
        "certificate": replace(config, tls_certificate=other[0], tls_key=other[1]),
        "authority": replace(config, tls_ca=other[0]),
        "tls": replace(config, tls_ca="", tls_certificate="", tls_key=""),
    }[missing]
    log = KafkaLog(stranger, SystemClock())
    with pytest.raises(LogUnavailableError):
        await log.append(numbered(TOPIC, 1))
    await log.close()
