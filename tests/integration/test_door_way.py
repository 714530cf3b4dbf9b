"""A batch's way through the door: into the store, into the account, and what happens to those that may not come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from ingest.contract.batch_wire import encode_batch
from ingest.contract.records import SIGNATURE_HEADER, Outgoing
from ingest.contract.topics import ACCOUNTS, ROLLUPS
from ingest.door.dead import replay
from ingest.runtime.log.limits import MAX_RECORD_BYTES, record_size
from ingest.runtime.store.port import StoreTotals
from tests.door_house import DoorHouse
from tests.rollup_batches import ORIGIN, T0, Row
from tests.signed_gateway import TRACE, SignedGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
def gateway() -> SignedGateway:
    return SignedGateway()


@pytest.fixture
async def house(tmp_path: Path, gateway: SignedGateway) -> AsyncIterator[DoorHouse]:
    async with DoorHouse(tmp_path, gateway) as house:
        yield house


async def test_batches_are_stored_and_accounted_for(house: DoorHouse, gateway: SignedGateway) -> None:
    await house.send(*(gateway.record() for _ in range(5)))
    house.start()
    account = await house.until_batches(5)
    await house.stop()
    assert (account.finding, account.first_broken_seq) == ("balanced", 0)
    assert account.received_seqs == [(1, 5)]
    assert (account.received, account.rolled_up, account.stored, account.batches) == (15, 15, 15, 5)
    assert (account.chain_seq, account.chain_digest) == (5, gateway.previous)
    assert await house.totals() == StoreTotals(5, 15)
    assert house.metric("tidegate_ingest_batches_total", outcome="stored", reason="") == 5
    assert house.metric("tidegate_ingest_rows_total", outcome="stored") == 5
    assert house.metric("tidegate_ingest_missing_batches", tenant="acme", site="plant-7") == 0


async def test_one_trace_leads_from_the_gateway_to_the_account(house: DoorHouse, gateway: SignedGateway) -> None:
    await house.send(gateway.record())
    house.start()
    await house.until_batches(1)
    await house.stop()
    (span,) = house.spans.get_finished_spans()
    assert span.name == "ingest.batch"
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE.split("-")[1]
    assert f"{span.parent.span_id:016x}" == TRACE.split("-")[2]
    (record,) = (await house.log.read_compacted(ACCOUNTS)).values()
    trace = (record.header("traceparent") or b"").decode().split("-")
    assert trace[1:3] == [TRACE.split("-")[1], f"{span.context.span_id:016x}"]
    assert record.header("ce_type") == b"tidegate.ingest.accounts.v1"


async def test_a_replayed_batch_counts_once(house: DoorHouse, gateway: SignedGateway) -> None:
    first, second = gateway.record(), gateway.record()
    await house.send(first, second, first)
    house.start()
    await house.until_batches(3)
    await house.send(second, first)
    account = await house.until_batches(5)
    assert (account.batches, account.duplicate_batches, account.stored) == (2, 3, 6)
    assert await house.totals() == StoreTotals(2, 6)
    assert not await house.letters()
    await house.stop()
    assert house.metric("tidegate_ingest_batches_total", outcome="duplicate", reason="") == 3


async def test_late_is_not_missing(house: DoorHouse, gateway: SignedGateway) -> None:
    records = [gateway.record() for _ in range(6)]
    house.start()
    await house.send(records[5], records[4], records[0])
    account = await house.until_batches(3)
    assert (account.finding, account.received_seqs) == ("gap", [(1, 1), (5, 6)])
    assert (account.received, account.stored) == (18, 9)
    await house.until(lambda: house.metric("tidegate_ingest_missing_batches", tenant="acme", site="plant-7") == 3)
    await house.send(records[2], records[3], records[1])
    account = await house.until_batches(6)
    assert (account.finding, account.received_seqs, account.stored) == ("balanced", [(1, 6)], 18)
    assert len(account.pending_digests) == 2
    await house.until(lambda: house.metric("tidegate_ingest_missing_batches", tenant="acme", site="plant-7") == 0)


async def test_an_account_that_does_not_balance_is_named_and_its_samples_are_kept(
    house: DoorHouse, gateway: SignedGateway
) -> None:
    await house.send(gateway.record(), gateway.sign(gateway.unbalanced()), gateway.record())
    house.start()
    account = await house.until_batches(3)
    assert (account.finding, account.first_broken_seq) == ("unbalanced", 2)
    assert await house.totals() == StoreTotals(3, 9)
    await house.until(lambda: house.metric("tidegate_ingest_ledger_breaches", tenant="acme", site="plant-7") == 1)


async def test_a_broken_chain_is_named_and_its_samples_are_kept(house: DoorHouse, gateway: SignedGateway) -> None:
    first = gateway.record()
    gateway.previous = bytes([1]) * 32
    await house.send(gateway.record(), first, gateway.record())
    house.start()
    account = await house.until_batches(3)
    assert (account.finding, account.first_broken_seq) == ("chain_broken", 2)
    assert await house.totals() == StoreTotals(3, 9)


async def test_an_older_revision_that_comes_later_does_not_replace_a_newer_one(
    house: DoorHouse, gateway: SignedGateway
) -> None:
    old = gateway.sign(gateway.batch(Row(values=(1.0,)), Row(device="other", values=(1.0,))))
    new = gateway.sign(gateway.batch(Row(values=(1.0, 2.0), revision=1), net=1))
    house.start()
    await house.send(new)
    account = await house.until_batches(1)
    assert len(account.revisions) == 1
    await house.send(old)
    account = await house.until_batches(2)
    assert await house.totals() == StoreTotals(2, 3)
    assert (account.stored, account.revisions) == (3, {})
    await house.stop()
    assert house.metric("tidegate_ingest_rows_total", outcome="superseded") == 1


async def test_replaced_windows_are_removed(house: DoorHouse, gateway: SignedGateway) -> None:
    fine = [Row(start=T0 + i * 10_000, values=(float(i),)) for i in range(6)]
    coarse = Row(width=60_000, values=tuple(map(float, range(6))))
    await house.send(gateway.record(*fine), gateway.sign(gateway.batch(coarse, replaces=fine, net=0)))
    house.start()
    await house.until_batches(2)
    assert await house.totals() == StoreTotals(1, 6)
    await house.stop()
    assert house.metric("tidegate_ingest_rows_total", outcome="removed") == 5


async def test_gateways_of_two_tenants_with_one_name_stay_apart(tmp_path: Path) -> None:
    red, blue = (SignedGateway(ORIGIN._replace(tenant=tenant)) for tenant in ("red", "blue"))
    async with DoorHouse(tmp_path, red, blue) as house:
        await house.send(red.record(), blue.record(), red.record())
        house.start()
        await house.until_batches(3)
        accounts = {account.tenant: account for account in await house.accounts()}
        assert {tenant: account.batches for tenant, account in accounts.items()} == {"red": 2, "blue": 1}
        assert await house.store.totals("red") == StoreTotals(2, 6)
        assert await house.store.totals("blue") == StoreTotals(1, 3)


def unsigned(record: Outgoing) -> Outgoing:
    return replace(record, headers=tuple(header for header in record.headers if header[0] != SIGNATURE_HEADER))


def with_seq(gateway: SignedGateway, seq: int) -> Outgoing:
    batch = gateway.batch()
    return gateway.sign(replace(batch, seq=seq, ledger=replace(batch.ledger, seq=seq)))


def with_rows(gateway: SignedGateway, rows: int) -> Outgoing:
    batch = gateway.batch()
    columns = {name: np.repeat(column, rows) for name, column in batch.columns.items()}
    columns["device"] = np.zeros(rows, "<u4")
    return gateway.sign_value(encode_batch(replace(batch, columns=columns)))


def with_net(gateway: SignedGateway, net: int) -> Outgoing:
    batch = gateway.batch(Row(revision=1))
    return gateway.sign(replace(batch, ledger=replace(batch.ledger, net=net)))


def with_cut_column(gateway: SignedGateway) -> Outgoing:
    wire = msgspec.msgpack.decode(encode_batch(gateway.batch()))
    wire["columns"]["sum"] = wire["columns"]["sum"][:-1]
    return gateway.sign_value(msgspec.msgpack.encode(wire))


HOSTILE: dict[str, tuple[str, Callable[[SignedGateway], Outgoing]]] = {
    "no signature": ("no_signature", lambda g: unsigned(g.record())),
    "a tombstone": ("no_signature", lambda g: replace(g.record(), value=None)),
    "a foreign signature": ("bad_signature", lambda g: g.sign(g.batch(), key=Ed25519PrivateKey.generate())),
    "an unknown gateway": ("unknown_gateway", lambda _: SignedGateway().record()),
    "another tenant": ("foreign_origin", lambda g: g.sign(replace(g.batch(), origin=ORIGIN._replace(tenant="rival")))),
    "another site": ("foreign_origin", lambda g: g.sign(replace(g.batch(), origin=ORIGIN._replace(site="plant-8")))),
    "another gateway": ("foreign_origin", lambda g: g.sign(replace(g.batch(), origin=ORIGIN._replace(gateway="gw-2")))),
    "another site's key": ("foreign_origin", lambda g: g.sign(g.batch(), site="plant-8")),
    "truncated": ("malformed", lambda g: g.sign_value(encode_batch(g.batch())[:-40])),
    "noise": ("malformed", lambda g: g.sign_value(b"\xff" * 1000)),
    "nothing": ("malformed", lambda g: g.sign_value(b"")),
    "a negative seq": ("malformed", lambda g: with_seq(g, -1)),
    "a seq beyond all bounds": ("bad_value", lambda g: with_seq(g, (1 << 63) + 5)),
    "a net beyond all bounds": ("bad_value", lambda g: with_net(g, 1 << 62)),
    "a window twice": ("bad_value", lambda g: with_rows(g, 2)),
    "too few bytes for its rows": ("column_length", with_cut_column),
    "rows that its ledger does not know": ("ledger_unbalanced", lambda g: g.sign(g.batch(net=99))),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_may_not_come_in_becomes_a_dead_letter_and_the_rest_goes_on(
    house: DoorHouse, gateway: SignedGateway, what: str
) -> None:
    reason, make = HOSTILE[what]
    good, bad = gateway.record(), make(SignedGatewayView(gateway))
    await house.send(good, bad, gateway.record())
    house.start()
    account = await house.until_batches(2)
    (letter,) = await house.letters(1)
    await house.stop()
    assert (letter.reason, letter.topic, letter.value, letter.key) == (reason, ROLLUPS, bad.value, bad.key)
    assert letter.headers == bad.headers
    assert account.stored == 6
    assert await house.totals() == StoreTotals(2, 6)
    assert house.metric("tidegate_ingest_batches_total", outcome="dead", reason=reason) == 1
    assert house.metric("tidegate_dead_letters_total", topic=ROLLUPS, reason=reason) == 1


class SignedGatewayView(SignedGateway):
    """The same gateway with the same key, whose batches leave the honest one's ledger alone."""

    def __init__(self, gateway: SignedGateway) -> None:
        super().__init__(gateway.origin)
        self.key, self.seq, self.total, self.previous = gateway.key, gateway.seq, gateway.total, gateway.previous


async def test_a_jump_of_the_seq_is_a_gap_and_nothing_more(house: DoorHouse, gateway: SignedGateway) -> None:
    await house.send(gateway.record(), with_seq(SignedGatewayView(gateway), 1 << 52), gateway.record())
    house.start()
    account = await house.until_batches(3)
    assert account.received_seqs == [(1, 2), (1 << 52, 1 << 52)]
    assert (account.finding, account.stored) == ("gap", 9)


async def test_more_gaps_than_an_account_holds_are_turned_away_until_they_are_filled(
    house: DoorHouse, gateway: SignedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.door.account.MAX_GAPS", 5)
    records = [gateway.record() for _ in range(14)]
    await house.send(*records[::2])
    house.start()
    letters = await house.letters(2)
    assert [letter.reason for letter in letters] == ["too_many_gaps"] * 2
    assert len((await house.until_batches(5)).received_seqs) == 5
    await house.send(*records[1::2])
    await house.until_batches(12)
    assert await replay(house.log, letters) == 2
    account = await house.until_batches(14)
    assert (account.finding, account.received_seqs) == ("balanced", [(1, 14)])


async def test_a_batch_almost_too_large_for_the_log_does_not_stop_it(house: DoorHouse, gateway: SignedGateway) -> None:
    room = MAX_RECORD_BYTES - record_size(gateway.sign_value(b""))
    await house.send(gateway.sign_value(b"x" * room), gateway.record())
    house.start()
    await house.until_batches(1)
    (letter,) = await house.letters(1)
    assert (letter.reason, letter.lacks_value(), letter.origin_offset) == ("malformed", True, 0)
    assert "see the origin's offset" in letter.detail
    assert await replay(house.log, [letter]) == 0
