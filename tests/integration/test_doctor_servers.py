"""The doctor at real servers: what is right is good, what is wrong is told with its remedy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from compose.doctor.broker import look_at_broker
from compose.doctor.finding import Finding, Level
from compose.doctor.log import look_at_log
from compose.doctor.ports import look_at_ports
from compose.doctor.store import look_at_store
from compose.processes.config import IngestProcess
from edge_aggregator.receive.config import BrokerConfig
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import LogConfig, open_log
from ingest.runtime.observe import ObserveConfig
from ingest.runtime.secrets import write_secret
from ingest.runtime.store.config import StoreConfig
from tests.process_house import House
from tests.process_kit import nursery
from tests.servers import RunningServer

if TYPE_CHECKING:
    from pathlib import Path

    from compose.stack.endpoints import InfluxEndpoint, KafkaEndpoint, MqttEndpoint

CLOCK, PATIENCE_S = SystemClock(), 120.0


def secret(folder: Path, name: str, content: str) -> str:
    write_secret(folder / name, content.encode())
    return str(folder / name)


def levels(found: list[Finding]) -> dict[str, Level]:
    return {one.about: one.level for one in found}


@pytest.mark.servers
def test_a_kafka_with_the_topics_is_good_and_a_wrong_password_is_told(
    tmp_path: Path, kafka: RunningServer[KafkaEndpoint]
) -> None:
    at = kafka.endpoint

    def config(password: str) -> LogConfig:
        file = secret(tmp_path, password, password)
        return LogConfig(kind="kafka", bootstrap=at.bootstrap, username=at.username, password_file=file)

    async def make_topics() -> None:
        log = open_log(config(at.password), CLOCK)
        await log.ensure_topics(every_topic())
        await log.close()

    asyncio.run(make_topics())
    good = LogConfig(
        kind="kafka", bootstrap=at.bootstrap, username=at.username, password_file=str(tmp_path / at.password)
    )
    assert look_at_log(good, CLOCK).level is Level.GOOD
    wrong = look_at_log(config("wrong"), CLOCK)
    assert (wrong.level, "credentials" in wrong.remedy) == (Level.BAD, True)


@pytest.mark.servers
def test_an_influxdb_tells_its_version_and_time_and_a_wrong_token_is_told(
    tmp_path: Path, influxdb: RunningServer[InfluxEndpoint]
) -> None:
    at = influxdb.endpoint

    def config(token: str) -> StoreConfig:
        where: dict[str, Any] = {"url": at.url, "org": at.org, "bucket": at.bucket, "timeout_s": PATIENCE_S}
        return StoreConfig(
            kind="influxdb", tenant="acme", token_file=secret(tmp_path, f"t{len(token)}", token), **where
        )

    good = look_at_store(config(at.token), CLOCK.now_ms)
    assert levels(good) == {"versions": Level.GOOD, "clock": Level.GOOD, "store": Level.GOOD}
    assert any(one.found.startswith("InfluxDB v2.") for one in good)
    late = look_at_store(config(at.token + " "), lambda: CLOCK.now_ms() - 60_000)
    assert levels(late)["clock"] is Level.WARNING
    assert levels(look_at_store(config("wrong"), CLOCK.now_ms))["store"] is Level.BAD


@pytest.mark.servers
def test_a_broker_takes_the_credentials_or_says_no(tmp_path: Path, mosquitto: RunningServer[MqttEndpoint]) -> None:
    at = mosquitto.endpoint

    def look(password: str) -> Finding:
        file = secret(tmp_path, f"p-{password}", password)
        where: dict[str, Any] = {"host": at.host, "port": at.port, "username": at.username, "password_file": file}
        return look_at_broker(
            BrokerConfig(
                client_id="doctor-test", topics=["tidegate/v1/x/+/telemetry"], connect_timeout_s=PATIENCE_S, **where
            )
        )

    assert "answers" in look(at.password).found
    wrong = look("wrong")
    assert (wrong.level, "username and password_file" in wrong.remedy) == (Level.BAD, True)


async def test_a_port_that_the_process_itself_has_is_good(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await house.start()
        port = int(house.ingest.address.rpartition(":")[2])
        config = IngestProcess(
            log=LogConfig(path="unused"),
            store=StoreConfig(path="unused"),
            gateways=[],
            observe=ObserveConfig(port=port),
        )
        (found,) = await asyncio.to_thread(lambda: list(look_at_ports(config, PATIENCE_S)))
        await house.stop()
    assert (found.level, "this process runs" in found.found) == (Level.GOOD, True)
