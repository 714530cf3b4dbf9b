"""Every worker is killed again and again, at random moments, under load and through a rollout that must be rolled back.

`TIDEGATE_PROVE_ROUNDS` says how many seeds (`make prove` asks for many).
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from analytics.alerts.outbox import SPOKEN
from compose.embedded.settings import Spans
from ingest.contract.events import AlertEvent
from ingest.contract.records import read_event
from ingest.contract.topics import ALERTS, ROLLUPS
from ingest.runtime.store.port import SeriesQuery
from tests.process_fleet import BAD, OLD, SmallFleet, Talker, rollout_plan
from tests.process_house import SITE, TENANT, House
from tests.process_kit import STOP_S, nursery, tidegate, until

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "1"))
KILLS = 16
TALKERS = 3
POLITE_SHARE = 0.2
"""How many of the kills are a SIGTERM."""
PAUSE_S = 0.9
"""The longest time between two kills."""


@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
async def test_killed_at_any_moment_nothing_is_lost_or_done_twice(tmp_path: Path, seed: int) -> None:
    sys.stdout.write(f"seed {seed}, {KILLS} kills\n")
    chance = random.Random(seed)
    spans = Spans(window_s=0.5, lease_s=3.5, heartbeat_s=0.3, site_dark_s=60.0, idle_close_s=1.0)
    async with House(tmp_path, nursery(), spans=spans, notify_each=True) as house:
        await house.start()
        fleet = SmallFleet(SITE, house.broker, house.credentials.centre_keys(), tmp_path / "devices", seed=seed)
        talkers = [Talker(SITE, f"talker-{n}", house.broker, random.Random(seed * 10 + n)) for n in range(TALKERS)]
        mute = Talker(SITE, "mute", house.broker)
        talking = asyncio.create_task(talk(talkers))
        fleet.start()
        try:
            mute.say()
            await through_a_rollback(house, fleet, chance)
            await until(lambda: told_of(house, mute, "firing"), "its silence is told", house.told)
            mute.say()
            await until(lambda: told_of(house, mute, "resolved"), "its return is told", house.told)
            talking.cancel()
            await fleet.stop()
            await until(lambda: settled(talkers), "everything is acknowledged", house.told)
            await house.books_closed(fleet.sent() + sum(len(talker.said) for talker in (*talkers, mute)))
            await somebody_was_told(house)
        finally:
            talking.cancel()
            for talker in (*talkers, mute):
                talker.close()
        await house.stop()
        assert all(worker.lives > 1 for worker in house.workers.values())
        await every_acknowledged_sample_is_stored_once(house, talkers)
        await the_ledger_balances(house)
        await every_alert_was_delivered(house)
        assert_nobody_went_back_twice(fleet)
        await every_verdict_can_be_reproduced(house)


async def talk(talkers: list[Talker]) -> None:
    while True:
        for talker in talkers:
            talker.say()
        await asyncio.sleep(0.02)


async def settled(talkers: list[Talker]) -> bool:
    return all(talker.settled() for talker in talkers)


async def through_a_rollback(house: House, fleet: SmallFleet, chance: random.Random) -> None:
    await known(house, 12)
    await house.client.start_rollout(rollout_plan(SITE))
    async with asyncio.TaskGroup() as both:
        both.create_task(kill_again_and_again(house, chance))
        told = partial(_told, house, fleet)
        both.create_task(until(lambda: complete(house), "the rollback is complete", told))


def _told(house: House, fleet: SmallFleet) -> str:
    return f"{fleet.told()}\n{house.told()}"


async def kill_again_and_again(house: House, chance: random.Random) -> None:
    victims = [*house.workers.values()] * (KILLS // 4)
    chance.shuffle(victims)
    for victim in victims:
        await asyncio.sleep(chance.uniform(0.0, PAUSE_S))
        if chance.random() < POLITE_SHARE:
            assert await victim.stop() < STOP_S  # in the midst of its work
        else:
            await asyncio.to_thread(victim.kill)
        await asyncio.sleep(chance.uniform(0.0, PAUSE_S / 3))
        victim.start()


async def known(house: House, number: int) -> None:
    async def all_online() -> bool:
        return bool((await house.client.get("/v1/fleet"))["states"].get("online", 0) >= number)

    await until(all_online, "all devices are known", house.told)


async def told_of(house: House, talker: Talker, status: str) -> bool:
    return any(alert["labels"].get("device") == talker.name for alert in house.inbox.alerts(status))


async def complete(house: House) -> bool:
    if await house.api.reasons() is None:  # just killed
        return False
    try:
        found = await house.client.find("/v1/rollouts/firmware-2.3.0")
    except httpx.HTTPError:
        return False
    rollback = found.get("rollback") or {}
    # Who was away for long is listed as unreachable, until he is back.
    return rollback.get("phase") == "complete" and not rollback["unreachable"]


async def somebody_was_told(house: House) -> None:
    async def all_delivered() -> bool:
        wanted = {key for key, _ in await spoken(house)}
        return wanted <= delivered(house).keys()

    await until(all_delivered, "every alert was delivered", house.told)


async def every_acknowledged_sample_is_stored_once(house: House, talkers: list[Talker]) -> None:
    store = house.store()
    try:
        for talker in talkers:
            found = await store.read(SeriesQuery(tenant=TENANT, site=SITE, device=talker.name, limit=1 << 20))
            stored = {series.metric: (int(series.count.sum()), float(series.sum.sum())) for series in found}
            said: dict[str, list[float]] = defaultdict(list)
            for sample in talker.said:
                said[sample.metric].append(sample.value)
            assert {metric: count for metric, (count, _) in stored.items()} == {m: len(v) for m, v in said.items()}
            assert all(stored[metric][1] == pytest.approx(sum(values)) for metric, values in said.items())
    finally:
        await store.close()


async def the_ledger_balances(house: House) -> None:
    account = await house.account()
    totals = account["totals"]
    assert account["balanced"]
    assert (totals["open"], totals["dropped"], totals["rejected"]) == (0, {}, {})
    assert (await house.stored()).samples == totals["rolled_up"]
    seqs = [record.header("ce_id") for record in await house.records(ROLLUPS)]
    sys.stdout.write(f"{totals}, {len(seqs)} batches, {len(seqs) - len(set(seqs))} sent twice\n")
    assert len(set(seqs)) == account["seq"]


async def spoken(house: House) -> list[tuple[str, AlertEvent]]:
    """Every change of an alert that somebody must hear of, with its key."""
    events = [read_event(record, AlertEvent) for record in await house.records(ALERTS)]
    told = [event for event in events if event and event.told and event.state in SPOKEN and event.starts_at]
    return [(event.idempotency_key(), event) for event in told]


def delivered(house: House) -> dict[str, list[tuple[str, str, str, str]]]:
    """What arrived under each alert's key: every time (fingerprint, status, start, words)."""
    found: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for delivery in list(house.inbox.deliveries):
        for alert in delivery.alerts:
            words = alert["annotations"]["summary"]
            found[alert["idempotencyKey"]].append((alert["fingerprint"], alert["status"], alert["startsAt"], words))
    return found


async def every_alert_was_delivered(house: House) -> None:
    changes, arrived = dict(await spoken(house)), delivered(house)
    sys.stdout.write(f"{len(changes)} changes of alerts, {sum(map(len, arrived.values()))} arrived\n")
    assert {event.name for event in changes.values()} >= {"RolloutFailed", "DeviceSilent"}
    assert changes.keys() == arrived.keys()
    assert all(len(set(times)) == 1 for times in arrived.values())
    # One change has one key, however often it was said, and by whichever life of the process.
    assert len({times[0] for times in arrived.values()}) == len(arrived)


def assert_nobody_went_back_twice(fleet: SmallFleet) -> None:
    sys.stdout.write(f"{dict(fleet.installs)}\n")
    canaries = [installs for installs in fleet.installs.values() if installs]
    assert len(canaries) == 6
    assert all(installs == [BAD.version, OLD.version] for installs in canaries)
    assert {device.model.firmware for device in fleet.devices} == {OLD.version}


async def every_verdict_can_be_reproduced(house: House) -> None:
    code, out, err = await tidegate("rollout", "replay", str(house.analytics.config), "firmware-2.3.0")
    assert code == 0, out + err
