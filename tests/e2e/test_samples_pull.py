"""`tidegate samples pull` through the API, the log and a gateway's journal: real processes, embedded log and real Kafka."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from compose.stack.endpoints import AlertmanagerEndpoint, Endpoints, InfluxEndpoint, KafkaEndpoint, MqttEndpoint
from tests.process_fleet import Talker
from tests.process_house import House
from tests.process_kit import nursery, tidegate, until
from tests.servers import RunningServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process_fleet import Said

ROUNDS = 40


def access(house: House) -> tuple[str, ...]:
    return ("samples", "--api", house.api.address, "--token-file", str(house.folder / "secrets" / "token"))


async def pulled(house: House, *arguments: str) -> tuple[int, str, str]:
    return await tidegate(*access(house), "pull", "--site", house.site, "--from", "-1h", *arguments)


async def said(house: House, names: tuple[str, ...]) -> list[Said]:
    """What devices said and the gateway acknowledged."""
    talkers = [Talker(house.site, name, house.broker) for name in names]
    for _ in range(ROUNDS):
        for talker in talkers:
            talker.say()
        await asyncio.sleep(0.01)
    await until(lambda: _settled(talkers), "everything is acknowledged", house.told)
    for talker in talkers:
        talker.close()
    return [one for talker in talkers for one in talker.said]


async def _settled(talkers: list[Talker]) -> bool:
    return all(talker.settled() for talker in talkers)


def rows(sent: list[Said]) -> list[tuple[Any, ...]]:
    return sorted((one.ts, one.device, one.metric, one.value) for one in sent)


async def the_way_of_a_pull(house: House) -> None:
    for worker in (house.edge, house.api):
        worker.start()
    await asyncio.gather(house.edge.ready(), house.api.ready())
    sent = await said(house, ("pump-1", "pump-2", "fan-1"))

    code, out, err = await pulled(house, "--json")
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [(f["ts"], f["device"], f["metric"], f["value"]) for f in sorted(found, key=_key)] == rows(sent)
    assert [f["ts"] for f in found] == sorted(f["ts"] for f in found)

    code, out, err = await pulled(house, "--device", "pump-*", "--metric", "a", "--csv")
    assert code == 0, err
    table = [(int(r["ts"]), r["device"], r["metric"], float(r["value"])) for r in csv.DictReader(io.StringIO(out))]
    assert sorted(table) == rows([s for s in sent if s.device.startswith("pump") and s.metric == "a"])

    file = house.folder / "pulled.json"
    code, out, err = await pulled(house, "--device", "fan-1", "--out", str(file))
    assert (code, out) == (0, ""), err
    assert len(file.read_text().splitlines()) == 2 * ROUNDS

    await house.edge.stop()
    code, out, err = await pulled(house, "--timeout", "1", "--expiry", "600")
    assert (code, out) == (1, "")
    assert "may be away" in err
    assert "the request stands until" in err
    name = err.split("samples get ")[1].split("`")[0]
    house.edge.start()
    code, out, err = await tidegate(*access(house), "get", name, "--timeout", "60")
    assert code == 0, err
    assert len(out.splitlines()) == len(sent)


def _key(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["ts"], found["device"], found["metric"], found["value"]


@pytest.mark.whole
async def test_raw_samples_come_when_they_are_asked_for(tmp_path: Path) -> None:
    async with House(tmp_path, nursery()) as house:
        await the_way_of_a_pull(house)
        code, _, err = await tidegate(*access(house), "pull", "--site", "nowhere", "--from", "-1h")
        assert (code, "nowhere" in err) == (2, True)
        code, _, err = await pulled(house, "--to", "sometime")
        assert (code, "expected 2026" in err) == (2, True)
        assert "gateway-north did not answer before the request expired" in await _expired(house)


async def _expired(house: House) -> str:
    await house.edge.stop()
    code, _, err = await pulled(house, "--timeout", "4", "--expiry", "1")
    assert code == 1
    return err


@pytest.mark.servers
async def test_raw_samples_through_kafka(
    tmp_path: Path, kafka: RunningServer[KafkaEndpoint], mosquitto: RunningServer[MqttEndpoint]
) -> None:
    # Neither the store nor on-call has a part in it.
    away = "http://127.0.0.1:9"
    nobody = InfluxEndpoint(away, "o", "b", "t"), AlertmanagerEndpoint(away)
    servers = Endpoints(kafka.endpoint, mosquitto.endpoint, *nobody)
    async with House(tmp_path, tenant="pull", site="pull-1", servers=servers) as house:
        await the_way_of_a_pull(house)
