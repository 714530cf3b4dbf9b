"""The door killed at each step of a turn, and moved to another member: what follows is as if nothing had happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ingest.contract.records import Outgoing
from ingest.contract.topics import ACCOUNTS
from ingest.runtime.store.port import StoreTotals
from tests.door_house import FAST, DoorHouse
from tests.rollup_batches import ORIGIN, Row
from tests.signed_gateway import SignedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.log.port import Consumer, Log

STEPS = ("before the accounts", "before the commit", "after the commit")


class HaltingLog:
    """The log of a process that stands still for ever at one step of its first turn with records."""

    def __init__(self, log: Log, step: str) -> None:
        self._log, self._step = log, step
        self.halted = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def halt_at(self, step: str) -> None:
        if step == self._step:
            self.halted.set()
            await asyncio.Event().wait()

    async def append(self, records: Sequence[Outgoing]) -> None:
        await self.halt_at("before the accounts")
        await self._log.append(records)

    async def subscribe(self, *args: object, **options: object) -> HaltingConsumer:
        return HaltingConsumer(self, await self._log.subscribe(*args, **options))  # type: ignore[arg-type]  # handed on as they are


class HaltingConsumer:
    def __init__(self, log: HaltingLog, consumer: Consumer) -> None:
        self._log, self._consumer = log, consumer
        self.assigned, self.end_offsets = consumer.assigned, consumer.end_offsets

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        return await self._consumer.poll(max_records, timeout_s)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._log.halt_at("before the commit")
        await self._consumer.commit(offsets)
        await self._log.halt_at("after the commit")

    async def close(self) -> None:
        """A killed process closes nothing."""


@pytest.fixture
def gateway() -> SignedGateway:
    return SignedGateway()


@pytest.fixture
async def house(tmp_path: Path, gateway: SignedGateway) -> AsyncIterator[DoorHouse]:
    async with DoorHouse(tmp_path, gateway) as house:
        yield house


@pytest.mark.parametrize("step", STEPS)
async def test_a_door_killed_at_a_step_continues_exactly(house: DoorHouse, gateway: SignedGateway, step: str) -> None:
    log = HaltingLog(house.log, step)
    forged = gateway.sign_value(b"forged")
    await house.send(gateway.record(Row(values=(1.0,))), forged, gateway.record(Row(values=(1.0, 2.0), revision=1)))
    house.start(log=log)  # type: ignore[arg-type]  # the rest is passed on
    await asyncio.wait_for(log.halted.wait(), 90)
    await house.kill()
    await house.send(gateway.record())
    house.start()
    account = await house.until_batches(3)
    assert (account.finding, account.received_seqs, account.duplicate_batches) == ("balanced", [(1, 3)], 0)
    assert (account.stored, account.received) == (6, 6)
    assert (account.chain_seq, account.chain_digest) == (3, gateway.previous)
    # Windows are as if written once: the second batch corrected the first one's, in that order.
    assert await house.totals() == StoreTotals(2, 5)
    assert len(await house.letters(1)) == 1


async def test_a_partition_that_moves_takes_its_accounts_along(house: DoorHouse, gateway: SignedGateway) -> None:
    house.start(replace(FAST, member="first"))
    await house.send(*(gateway.record() for _ in range(3)))
    await house.until_batches(3)
    await house.stop()
    house.start(replace(FAST, member="second"))
    late = gateway.record()
    await house.send(gateway.record(), late)
    account = await house.until_batches(5)
    assert (account.finding, account.batches, account.stored) == ("balanced", 5, 15)


async def test_two_doors_share_the_sites_and_take_over_from_each_other(tmp_path: Path) -> None:
    gateways = [SignedGateway(ORIGIN._replace(site=f"site-{i}", gateway=f"gw-{i}")) for i in range(12)]
    async with DoorHouse(tmp_path, *gateways) as house:
        house.start(replace(FAST, member="first"))
        await house.send(*(gateway.record() for gateway in gateways))
        await house.until_batches(12)
        second = house.start(replace(FAST, member="second"))
        for _ in range(5):
            await house.send(*(gateway.record() for gateway in gateways))
        await house.until_batches(72)
        door, _ = house._running.pop()
        door.drain()
        await second
        await house.send(*(gateway.record() for gateway in gateways))
        await house.until_batches(84)
        accounts = await house.accounts()
        assert {(a.finding, a.batches, a.duplicate_batches, a.stored) for a in accounts} == {("balanced", 7, 0, 21)}
        assert await house.totals() == StoreTotals(84, 252)


async def test_a_log_that_is_lost_begins_anew(tmp_path: Path, gateway: SignedGateway) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with DoorHouse(first, gateway) as house:
        house.start()
        await house.send(gateway.record())
        await house.until_batches(1)
    async with DoorHouse(second, gateway) as house:
        house.start()
        await house.send(gateway.record())
        account = await house.until_batches(1)
        assert (account.finding, account.received_seqs) == ("gap", [(2, 2)])


async def test_an_account_that_cannot_be_read_does_not_stop_the_door(house: DoorHouse, gateway: SignedGateway) -> None:
    house.start()
    await house.send(gateway.record())
    await house.until_batches(1)
    await house.stop()
    (record,) = (await house.log.read_compacted(ACCOUNTS)).values()
    await house.send(Outgoing(ACCOUNTS, record.key, b"{}"), gateway.record())
    house.start()
    account = await house.until_batches(1)
    assert account.received_seqs == [(2, 2)]


async def test_accounts_are_saved_once_a_turn(house: DoorHouse, gateway: SignedGateway) -> None:
    await house.send(*(gateway.record() for _ in range(40)))
    house.start(replace(FAST, max_records=20))
    await house.until_batches(40)
    reader = await house.log.subscribe((ACCOUNTS,), group=None, member="reader")
    assert [record.offset for record in await reader.poll(100, 0.1)] == [0, 1]
    await reader.close()
    assert {account.offset for account in await house.accounts()} == {40}
