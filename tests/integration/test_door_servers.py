"""The door between a real Kafka and a real InfluxDB: the same accounts and the same windows, outages included."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ingest.runtime.clock import SystemClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.store.config import StoreConfig
from ingest.runtime.store.open import open_store
from ingest.runtime.store.port import SeriesQuery, StoreTotals
from tests.door_house import FAST, DoorHouse
from tests.memory_store import MemoryStore
from tests.own_topics import OwnTopics
from tests.rollup_batches import ORIGIN, T0, Row
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from compose.stack.endpoints import InfluxEndpoint, KafkaEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers


@pytest.fixture
def log(kafka_config: KafkaConfig) -> OwnTopics:
    return OwnTopics(KafkaLog(kafka_config, SystemClock()), f"door-{os.urandom(4).hex()}.")


@pytest.fixture
def gateway() -> SignedGateway:
    return SignedGateway(ORIGIN._replace(site=f"site-{os.urandom(4).hex()}"))


@pytest.fixture
async def house(
    tmp_path: Path, log: OwnTopics, influxdb: RunningServer[InfluxEndpoint], gateway: SignedGateway
) -> AsyncIterator[DoorHouse]:
    endpoint = influxdb.endpoint
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    token_file.write_text(endpoint.token)
    config = StoreConfig(
        kind="influxdb",
        url=endpoint.url,
        org=endpoint.org,
        bucket=endpoint.bucket,
        tenant=ORIGIN.tenant,
        token_file=str(token_file),
        timeout_s=5.0,
    )
    async with DoorHouse(tmp_path, gateway, store=open_store(config), log=log) as house:
        yield house


async def test_the_way_through_real_servers(house: DoorHouse, gateway: SignedGateway) -> None:
    fine = [Row(start=T0 + i * 10_000, values=(float(i),)) for i in range(6)]
    coarse = Row(width=60_000, values=tuple(map(float, range(6))))
    corrected = Row(start=T0 + 60_000, values=(1.0, 2.0), revision=1)
    first = gateway.record(*fine, Row(start=T0 + 60_000, values=(1.0,)))
    second = gateway.sign(gateway.batch(coarse, replaces=fine, net=0))
    third = gateway.sign(gateway.batch(corrected, net=1))
    await house.send(third, gateway.sign_value(b"forged"), second, first, third)
    house.start()
    account = await house.until_batches(4)
    assert (account.finding, account.batches, account.duplicate_batches, account.stored) == ("balanced", 3, 1, 8)
    assert await house.store.totals(ORIGIN.tenant, gateway.origin.site) == StoreTotals(2, 8)
    (series,) = await house.store.read(SeriesQuery(tenant=ORIGIN.tenant, site=gateway.origin.site))
    assert (series.width.tolist(), series.count.tolist(), series.revision.tolist()) == (
        [60_000, 10_000],
        [6, 2],
        [0, 1],
    )
    assert [letter.reason for letter in await house.letters(1)] == ["malformed"]


async def test_influxdb_away_is_waited_out(
    house: DoorHouse, gateway: SignedGateway, influxdb: RunningServer[InfluxEndpoint]
) -> None:
    house.start()
    await house.send(gateway.record())
    await house.until_batches(1)
    await asyncio.to_thread(influxdb.stop)
    await house.send(*(gateway.record() for _ in range(10)))
    await house.until(lambda: "ingest.store" in house.health.reasons())
    assert [account.batches for account in await house.accounts()] == [1]
    await asyncio.to_thread(influxdb.start)
    account = await house.until_batches(11)
    assert (account.finding, account.stored, account.duplicate_batches) == ("balanced", 33, 0)
    assert await house.store.totals(ORIGIN.tenant, gateway.origin.site) == StoreTotals(11, 33)
    await house.until(lambda: house.health.reasons() == {})


async def test_kafka_away_is_waited_out(
    house: DoorHouse, gateway: SignedGateway, kafka: RunningServer[KafkaEndpoint]
) -> None:
    house.start()
    await house.send(*(gateway.record() for _ in range(3)))
    await house.until_batches(3)
    await asyncio.to_thread(kafka.stop)
    await house.until(lambda: house.health.reasons().get("ingest", "").startswith("log: "))
    await asyncio.to_thread(kafka.start)
    await house.send(*(gateway.record() for _ in range(3)))
    account = await house.until_batches(6)
    assert (account.finding, account.batches, account.duplicate_batches) == ("balanced", 6, 0)


async def test_doors_that_come_and_go_share_the_partitions(tmp_path: Path, log: OwnTopics) -> None:
    gateways = [SignedGateway(ORIGIN._replace(site=f"site-{i}", gateway=f"gw-{i}")) for i in range(12)]
    async with DoorHouse(tmp_path, *gateways, store=MemoryStore(), log=log) as house:
        house.start(replace(FAST, member="first"))
        await house.send(*(gateway.record() for gateway in gateways))
        await house.until_batches(12)
        house.start(replace(FAST, member="second"))
        for _ in range(10):
            await house.send(*(gateway.record() for gateway in gateways))
            await asyncio.sleep(0.1)  # so that batches arrive before, while and after the group rebalances
        await house.until_batches(132)
        await house.stop()
        house.start(replace(FAST, member="first"))
        await house.send(*(gateway.record() for gateway in gateways))
        await house.until_batches(144)
        accounts = await house.accounts()
        assert {(a.finding, a.batches, a.stored) for a in accounts} == {("balanced", 12, 36)}
        assert await house.store.totals("acme") == StoreTotals(144, 432)
