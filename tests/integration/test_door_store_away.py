"""The door while its store is away, slow, or refuses: nothing is lost, nothing else stops, and it says what it waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ingest.contract.events import AccountEvent
from ingest.door.dead import replay
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.store.port import StoreRefusedError, StoreTotals, StoreUnavailableError
from tests.door_house import FAST, DoorHouse
from tests.memory_store import MemoryStore, Place
from tests.rollup_batches import ORIGIN, T0, Row
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch


class Moods:
    """What the store does to writes: it is away while `away`, and refuses rows of the devices in `refused` for good."""

    def __init__(self) -> None:
        self.away = False
        self.refused: set[str] = set()

    def __call__(self, places: list[Place]) -> None:
        if self.away:
            raise StoreUnavailableError("the store is out to lunch")
        if refused := self.refused & {place.device for place in places}:
            raise StoreRefusedError(f"field type conflict of {sorted(refused)}")


@pytest.fixture
def moods() -> Moods:
    return Moods()


@pytest.fixture
def gateway() -> SignedGateway:
    return SignedGateway()


@pytest.fixture
def store(moods: Moods) -> MemoryStore:
    return MemoryStore(moods)


@pytest.fixture
async def house(tmp_path: Path, gateway: SignedGateway, store: MemoryStore) -> AsyncIterator[DoorHouse]:
    async with DoorHouse(tmp_path, gateway, store=store) as house:
        yield house


async def test_an_outage_is_waited_out_and_said(
    house: DoorHouse, gateway: SignedGateway, store: MemoryStore, moods: Moods
) -> None:
    house.start()
    await house.send(gateway.record())
    await house.until_batches(1)
    await house.until(lambda: house.health.reasons() == {})  # the first batch may be there before the door says so
    moods.away = True
    await house.send(*(gateway.record() for _ in range(20)))
    await house.until(lambda: "ingest.store" in house.health.reasons())
    assert house.health.reasons()["ingest.store"] == "store: the store is out to lunch"
    tried = store.writes
    await house.until(lambda: store.writes > tried + 3)
    assert [account.batches for account in await house.accounts()] == [1]
    moods.away = False
    account = await house.until_batches(21)
    assert (account.finding, account.stored) == ("balanced", 63)
    assert await house.totals() == StoreTotals(21, 63)
    await house.until(lambda: house.health.reasons() == {})


async def test_a_store_that_is_away_at_the_start_is_waited_for(
    house: DoorHouse, gateway: SignedGateway, moods: Moods
) -> None:
    moods.away = True
    await house.send(gateway.record())
    house.start()
    await house.until(lambda: "ingest.store" in house.health.reasons())
    moods.away = False
    await house.until_batches(1)


async def test_a_door_that_waits_for_its_store_drains_at_once_and_loses_nothing(
    house: DoorHouse, gateway: SignedGateway, moods: Moods
) -> None:
    house.start()
    await house.send(gateway.record())
    await house.until_batches(1)
    moods.away = True
    await house.send(*(gateway.record() for _ in range(3)))
    await house.until(lambda: "ingest.store" in house.health.reasons())
    await asyncio.wait_for(house.stop(), 5)
    moods.away = False
    house.start()
    account = await house.until_batches(4)
    assert (account.batches, account.duplicate_batches, account.stored) == (4, 0, 12)


async def test_only_so_many_records_are_held(house: DoorHouse, gateway: SignedGateway, moods: Moods) -> None:
    polls: list[int] = []
    log = CountingLog(house, polls)
    moods.away = True
    await house.send(*(gateway.record() for _ in range(30)))
    house.start(replace(FAST, max_records=7), log=log)  # type: ignore[arg-type]  # what is not counted is passed on
    moods.away = False
    await house.until(lambda: 7 in polls)
    moods.away = True
    before = sum(polls)
    await house.until(lambda: polls.count(0) > 5)
    assert sum(polls) - before <= 7
    moods.away = False
    await house.until_batches(30)


class CountingLog:
    """The log, and how many records each poll brought."""

    def __init__(self, house: DoorHouse, polls: list[int]) -> None:
        self._log, self._polls = house.log, polls

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def subscribe(self, *args: object, **options: object) -> object:
        consumer = await self._log.subscribe(*args, **options)  # type: ignore[arg-type]  # handed on as they are
        take = consumer.poll

        async def poll(max_records: int, timeout_s: float) -> object:
            records = await take(max_records, timeout_s)
            self._polls.append(len(records))
            return records

        consumer.poll = poll  # type: ignore[method-assign,assignment]  # the one method that is watched
        return consumer


async def test_good_rows_of_a_refused_batch_are_kept_and_a_replay_completes_it(
    house: DoorHouse, gateway: SignedGateway, moods: Moods
) -> None:
    moods.refused = {"pump-3", "pump-40"}
    rows = [Row(device=f"pump-{i}") for i in range(64)]
    await house.send(gateway.record(), gateway.record(*rows), gateway.record())
    house.start()
    (letter,) = await house.letters(1)
    account = await house.until_batches(2)
    assert letter.reason == "store_refused"
    assert letter.detail.startswith("seq 2: 2 of 64 rows: field type conflict")
    assert (account.finding, account.received_seqs, account.stored) == ("gap", [(1, 1), (3, 3)], 6)
    assert await house.totals() == StoreTotals(64, 64 * 3)
    moods.refused = set()
    assert await replay(house.log, [letter]) == 1
    account = await house.until_batches(3)
    assert (account.finding, account.stored) == ("balanced", 66 * 3)
    assert await house.totals() == StoreTotals(66, 66 * 3)
    await house.stop()
    assert house.metric("tidegate_ingest_rows_total", outcome="refused") == 2


async def test_a_batch_that_is_all_bad_costs_a_bounded_number_of_tries(
    house: DoorHouse, gateway: SignedGateway, store: MemoryStore, moods: Moods
) -> None:
    rows = [Row(device=f"pump-{i}") for i in range(500)]
    moods.refused = {row.device for row in rows}
    await house.send(gateway.record(*rows), gateway.record(Row(device="good")))
    house.start()
    await house.until_batches(1)
    (letter,) = await house.letters(1)
    assert letter.detail.startswith("seq 1: 500 of 500 rows")
    assert store.writes < 60


async def test_what_is_refused_does_not_replace_anything(
    house: DoorHouse, gateway: SignedGateway, store: MemoryStore, moods: Moods
) -> None:
    fine = [Row(start=T0 + i * 10_000, values=(1.0,)) for i in range(6)]
    coarse = Row(width=60_000, values=(1.0,) * 6)
    bad = Row(device="pump-9", values=(1.0,))
    moods.refused = {"pump-9"}
    first, second = gateway.batch(*fine[:3]), gateway.batch(*fine[3:])
    third = gateway.batch(coarse, bad, replaces=fine, net=1)
    house.start()
    await house.send(gateway.sign(first), gateway.sign(third))
    (letter,) = await house.letters(1)
    await house.send(gateway.sign(second))
    await house.until_batches(2)
    assert [window.width for window in store.windows.values()] == [10_000] * 6
    moods.refused = set()
    await replay(house.log, [letter])
    await house.until_batches(3)
    assert sorted(window.width for window in store.windows.values()) == [10_000, 60_000]
    assert await house.totals() == StoreTotals(2, 7)


async def test_one_partitions_slow_write_does_not_hold_up_the_others(tmp_path: Path, moods: Moods) -> None:
    gateways = [SignedGateway(ORIGIN._replace(site=f"site-{i}", gateway=f"gw-{i}")) for i in range(6)]
    stuck = SlowStore(moods, "site-0")
    async with DoorHouse(tmp_path, *gateways, store=stuck) as house:
        await house.send(*(gateway.record() for gateway in gateways))
        house.start()
        await house.until(lambda: len({place.site for place in stuck.windows}) >= 4)
        assert "site-0" not in {place.site for place in stuck.windows}
        stuck.released.set()
        await house.until_batches(6)


class SlowStore(MemoryStore):
    """Keeps writes for one site waiting."""

    def __init__(self, moods: Moods, site: str) -> None:
        super().__init__(moods)
        self._site = site
        self.released = asyncio.Event()

    async def write(self, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
        if batch.origin.site == self._site:
            await self.released.wait()
        await super().write(batch, rows)


async def test_a_door_that_waits_for_its_store_keeps_its_partitions(
    tmp_path: Path, gateway: SignedGateway, moods: Moods
) -> None:
    clock = SystemClock()
    async with DoorHouse(tmp_path, gateway, store=MemoryStore(moods)) as house:
        log = SqliteLog(tmp_path / "log.db", clock, lease_s=0.5)
        house.start(replace(FAST, member="first"), log=log)
        await house.send(gateway.record())
        await house.until_batches(1)
        moods.away = True
        await house.send(gateway.record())
        await house.until(lambda: "ingest.store" in house.health.reasons())
        other = await log.subscribe(("telemetry.rollups.v1",), group=FAST.group, member="second")
        taken = [record for _ in range(20) for record in await other.poll(10, 0.1)]
        assert taken == []  # the other member has joined and got its share, but none of what waits
        moods.away = False
        await house.until_batches(2)
        await other.close()
        await house.stop()
        await log.close()


async def test_the_log_away_is_waited_out(house: DoorHouse, gateway: SignedGateway) -> None:
    log = BrokenLog(house)
    house.start(log=log)  # type: ignore[arg-type]  # what is not broken is passed on
    await house.send(gateway.record())
    await house.until_batches(1)
    log.broken = True
    await house.send(gateway.record())
    await house.until(lambda: house.health.reasons().get("ingest", "").startswith("log: "))
    log.broken = False
    account: AccountEvent = await house.until_batches(2)
    assert (account.batches, account.duplicate_batches, account.stored) == (2, 0, 6)
    await house.until(lambda: house.health.reasons() == {})


class BrokenLog:
    """The log, whose appends fail while `broken`."""

    def __init__(self, house: DoorHouse) -> None:
        self._log = house.log
        self.broken = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def append(self, records: object) -> None:
        if self.broken:
            raise LogUnavailableError("no brokers")
        await self._log.append(records)  # type: ignore[arg-type]  # handed on as they are
