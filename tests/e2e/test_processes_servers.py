"""The four processes through Kafka, Mosquitto, InfluxDB and Alertmanager, each of which goes away for a while and comes back."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from compose.demo.inbox import OnCallInbox
from compose.embedded.settings import Spans
from compose.stack.endpoints import AlertmanagerEndpoint, Endpoints, InfluxEndpoint, KafkaEndpoint, MqttEndpoint
from tests.process_fleet import Talker
from tests.process_house import House
from tests.process_kit import STOP_S, until
from tests.servers import RunningServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.process_kit import Worker

pytestmark = pytest.mark.servers

TENANT, SITE = "outage", "outage-1"
SPANS = Spans(window_s=0.5, lease_s=2.5, heartbeat_s=0.3, site_dark_s=60.0, idle_close_s=1.0)
AWAY_S = 2.0
MOST_MIB = 250
MOST_GROWTH_MIB = 60


async def test_every_server_may_go_away_for_a_while(
    tmp_path: Path,
    kafka: RunningServer[KafkaEndpoint],
    mosquitto: RunningServer[MqttEndpoint],
    influxdb: RunningServer[InfluxEndpoint],
    alertmanager: RunningServer[AlertmanagerEndpoint],
) -> None:
    servers = Endpoints(kafka.endpoint, mosquitto.endpoint, influxdb.endpoint, alertmanager.endpoint)
    async with House(tmp_path, tenant=TENANT, site=SITE, servers=servers, spans=SPANS) as house:
        await house.start()
        talkers = [Talker(SITE, f"talker-{number}", house.broker) for number in range(3)]
        talking = asyncio.create_task(talk(talkers))
        try:
            await until(lambda: arrived(house, 60), "samples are in the store", house.told)
            before = memory(house)
            async with away(mosquitto, (house.edge, "cannot connect", "closed")):
                pass
            async with away(influxdb, (house.ingest, "store")):
                pass
            async with receivers_away(house, alertmanager):
                quiet = await somebody_falls_silent(house)
            async with away(kafka, *((worker, "log:") for worker in house.workers.values())):
                assert_bounded(before, memory(house))
            talking.cancel()
            await until(lambda: settled(talkers), "everything is acknowledged", house.told)
            await on_call_hears_of_it(house)
            await house.books_closed(sum(len(talker.said) for talker in (*talkers, quiet)))
            assert_bounded(before, memory(house))
            await what_was_said_is_stored(house, talkers)
        finally:
            talking.cancel()
            for talker in talkers:
                talker.close()
        # Even with nobody there to say goodbye to, each ends in time.
        await asyncio.to_thread(kafka.stop)
        took = await asyncio.gather(*(worker.stop() for worker in house.workers.values()))
        sys.stdout.write(f"stopped without Kafka in {[round(seconds, 1) for seconds in took]} s\n")
        assert max(took) < STOP_S
        totals = (await house.account())["totals"]
        assert (totals["dropped"], totals["rejected"], totals["open"]) == ({}, {}, 0)
        assert (await house.stored()).samples == totals["rolled_up"]


async def talk(talkers: list[Talker]) -> None:
    while True:
        for talker in talkers:
            talker.say()
        await asyncio.sleep(0.03)


async def settled(talkers: list[Talker]) -> bool:
    return all(talker.settled() for talker in talkers)


async def arrived(house: House, samples: int) -> bool:
    return (await house.stored()).samples >= samples


@asynccontextmanager
async def away(server: RunningServer[Any], *told: tuple[Any, ...]) -> AsyncIterator[None]:
    """Stop it until the workers have said so, and for a while; start it again and wait until all are ready."""
    await asyncio.to_thread(server.stop)
    workers = [worker for worker, *_ in told]
    await asyncio.gather(*(says(worker, *words) for worker, *words in told))
    await asyncio.sleep(AWAY_S)
    yield
    await asyncio.to_thread(server.start)
    await asyncio.gather(*(worker.ready() for worker in workers))


async def says(worker: Worker, *words: str) -> None:
    async def waiting() -> bool:
        reasons = await worker.reasons()
        assert reasons is not None, worker.told()
        return any(word in f"{part}: {reason}" for part, reason in reasons.items() for word in words)

    await until(waiting, f"{worker.kind} says that it waits ({words})", worker.told)


@asynccontextmanager
async def receivers_away(house: House, alertmanager: RunningServer[Any]) -> AsyncIterator[None]:
    """Neither the webhook's receiver nor Alertmanager is there; both are asked for what happens meanwhile."""
    earlier, port = house.inbox, int(house.inbox.url.rsplit(":", 1)[1].split("/")[0])
    earlier.stop()
    async with away(alertmanager):
        yield
        await says(house.analytics, "receiver on-call")
        await says(house.analytics, "receiver alertmanager")
    house.inbox = OnCallInbox(house.credentials.webhook_secret, port)
    house.inbox.start()
    await house.analytics.ready()


async def somebody_falls_silent(house: House) -> Talker:
    quiet = Talker(SITE, "quiet", house.broker)
    quiet.say()
    await until(lambda: settled([quiet]), "it was heard", house.told)
    quiet.close()

    async def fired() -> bool:
        alerts = await house.client.items("/v1/alerts")
        return any(alert["labels"].get("device") == "quiet" and alert["state"] == "firing" for alert in alerts)

    await until(fired, "the alert fires", house.told)
    return quiet


async def on_call_hears_of_it(house: House) -> None:
    async def told() -> bool:
        return any("quiet" in alert["annotations"]["summary"] for alert in house.inbox.alerts("firing"))

    await until(told, "on-call hears of it after all", house.told)


async def what_was_said_is_stored(house: House, talkers: list[Talker]) -> None:
    for talker in talkers:
        found = (await house.client.get(f"/v1/series?site={SITE}&device={talker.name}&limit=10000"))["series"]
        said = Counter(sample.metric for sample in talker.said)
        assert {series["metric"]: sum(series["count"]) for series in found} == said


def memory(house: House) -> dict[str, float]:
    """MiB that each worker has in memory."""
    return {kind: psutil.Process(worker.pid).memory_info().rss / (1 << 20) for kind, worker in house.workers.items()}


def assert_bounded(before: dict[str, float], now: dict[str, float]) -> None:
    assert max(now.values()) < MOST_MIB, now
    assert all(now[kind] - before[kind] < MOST_GROWTH_MIB for kind in now), (before, now)
