"""Batches and their account; an outbox that is full loses the oldest, and says how many samples that was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.forward import Forwarder, Signer
from edge_aggregator.names import SeriesName
from edge_aggregator.outbox import outbox as outbox_room
from edge_aggregator.outbox.batches import BatchMaker
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.pace import Pace
from ingest.contract.batch_wire import decode_batch
from ingest.contract.ledger import GENESIS, join_spans
from ingest.contract.topics import ROLLUPS, dead
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.port import LogUnavailableError, RecordTooLargeError
from tests.edge_bench import (
    T0,
    Bench,
    Sample,
    check_ledger,
    edge_config,
    final_rollups,
    message,
    naive_rollups,
    telemetry,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ingest.contract.records import Outgoing


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0, outbox_bytes=64 * 1024))
    yield bench
    bench.close()


def window(bench: Bench, number: int, series: int = 20, apart_ms: int = 10_000) -> list[Sample]:
    """One sample of each series in a window of its own."""
    samples = [Sample("d", f"m{metric}", T0 + number * apart_ms, float(metric)) for metric in range(series)]
    bench.take([message(sample) for sample in samples], T0 + number * apart_ms)
    return samples


def test_the_first_entry_follows_from_nothing(bench: Bench) -> None:
    window(bench, 0)
    window(bench, 1)
    bench.flush(T0 + 10_000)
    [batch] = bench.batches()
    assert (batch.seq, batch.ledger.seq, batch.ledger.previous) == (1, 1, GENESIS)
    assert (batch.ledger.received, batch.ledger.rolled_up, batch.ledger.open, batch.ledger.net) == (40, 20, 20, 20)
    assert batch.origin == ("acme", "site-1", "gw-1", bench.rooms.state.boot)


def test_chain_and_boot_outlive_the_process(bench: Bench) -> None:
    boot = bench.rooms.state.boot
    for number in range(6):
        window(bench, number)
        bench.flush(T0 + number * 10_000)
        bench.restart()
    batches = bench.batches()
    assert [batch.seq for batch in batches] == [1, 2, 3, 4, 5]
    assert {batch.origin.boot for batch in batches} == {boot}
    check_ledger(batches)


def test_large_flushes_are_split(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0))
    bench.rooms.maker = BatchMaker(bench.rooms.maker._origin, bench.rooms.names, bench.rooms.registry, most_bytes=900)
    sent = [sample for number in range(30) for sample in window(bench, number)]
    bench.flush(T0 + 10_000_000)
    batches = bench.batches()
    assert len(batches) > 2
    assert all(len(waiting.record.value or b"") <= 900 for waiting in bench.waiting() if waiting.kind is Kind.ROLLUPS)
    assert sum(batch.ledger.net for batch in batches) == len(sent)
    assert final_rollups(batches) == naive_rollups(sent, {}, 10_000)
    check_ledger(batches)
    bench.close()


def test_refusals_alone_are_told_with_the_heartbeat(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=1.0))
    bench.flush(T0)
    bench.take([telemetry("d", b"{")], T0 + 500)
    bench.flush(T0 + 500)
    assert bench.batches() == []
    bench.flush(T0 + 2000)
    bench.flush(T0 + 4000)
    [batch] = bench.batches()
    assert (len(batch), batch.ledger.received, batch.ledger.rejected) == (0, 1, {"malformed": 1})
    [letter] = [waiting.record for waiting in bench.waiting() if waiting.kind is Kind.DEAD_LETTER]
    assert (letter.topic, letter.value) == (dead("telemetry.samples.v1"), b"{")
    headers = dict(letter.headers)
    assert headers["tidegate_reason"] == b"malformed"
    assert headers["tidegate_topic"] == b"tidegate/v1/site-1/d/telemetry"
    bench.close()


def test_a_full_outbox_drops_the_oldest_and_counts_it(bench: Bench) -> None:
    sent, later = [], T0 + 120 * 660_000
    for number in range(120):
        sent += window(bench, number, apart_ms=660_000)  # so far apart that there is nothing to merge
        bench.flush(T0 + number * 660_000)
        assert bench.rooms.state.outbox.bytes <= 64 * 1024
    bench.flush(later)
    batches, totals = bench.batches(), bench.rooms.ledger.totals
    stored = sum(numbers.count for numbers in final_rollups(batches).values())
    assert totals.dropped == {"outbox_full": len(sent) - stored}
    assert (totals.received, totals.rolled_up, totals.open, totals.unaccounted()) == (2400, stored, 0, 0)
    gone = join_spans(*(batch.ledger.gone for batch in batches), bench.rooms.ledger.gone)
    assert gone == ((1, batches[0].seq - 1),)
    # What was lost is corrected no more: it would be counted twice.
    at = T0
    bench.take([message(Sample("d", "m0", at + 5, 1.0))], later)
    bench.flush(later)
    assert bench.rooms.ledger.totals.dropped == {"outbox_full": len(sent) - stored + 1}
    assert bench.rooms.ledger.totals.unaccounted() == 0


def test_other_records_give_way_after_the_rollups(bench: Bench) -> None:
    for number in range(200):
        bench.take([telemetry(f"d{number}", b"x" * 1000)], T0)
        bench.flush(T0)
        assert bench.rooms.state.outbox.bytes <= 64 * 1024
    kinds = {waiting.kind for waiting in bench.waiting()}
    assert kinds == {Kind.EVENT}


def test_a_dropped_window_of_which_a_correction_waits_is_not_lost(bench: Bench) -> None:
    first = Sample("d", "m", T0, 1.0)
    late = [Sample("d", "m", T0 + 1000 + number, 2.0) for number in range(2)]
    bench.take([message(first)], T0)
    bench.take([message(Sample("d", "m", T0 + 10_000, 0.0))], T0 + 10_000)
    bench.flush(T0 + 10_000)
    for sample in late:
        bench.take([message(sample)], T0 + 11_000)
        bench.flush(T0 + 11_000)
    oldest = [waiting for waiting in bench.waiting() if waiting.kind is Kind.ROLLUPS]
    assert [decode_batch(waiting.record.value or b"").column("revision").tolist() for waiting in oldest] == [
        [0],
        [1],
        [2],
    ]
    for waiting, lost in zip(oldest, (0, 0, 3), strict=True):
        bench.core.refuse(waiting)
        bench.flush(T0 + 11_000)
        totals = bench.rooms.ledger.totals
        assert totals.dropped.get("outbox_full", 0) == lost
        assert (totals.rolled_up, totals.open, totals.unaccounted()) == (3 - lost, 1, 0)
    assert bench.rooms.names.series_id(SeriesName(0, "m")) == 0


class ScriptedLog:
    """A log that takes, refuses or is away, as told."""

    def __init__(self) -> None:
        self.taken: list[Outgoing] = []
        self.away = 0
        self.most_bytes = 1 << 30

    async def append(self, records: Sequence[Outgoing]) -> None:
        if self.away:
            self.away -= 1
            raise LogUnavailableError("away")
        if any(len(record.value or b"") > self.most_bytes for record in records):
            raise RecordTooLargeError("too large")
        self.taken += records


async def forward(bench: Bench, log: ScriptedLog, signer: Signer | None = None) -> Health:
    health = Health()
    signer = signer or Signer(Ed25519PrivateKey.generate(), historical_after_ms=60_000)
    pace = Pace(most=1 << 30, patience_s=10.0)
    forwarder = Forwarder(
        bench.core,
        _Here(),  # type: ignore[arg-type]  # the files belong to the test's own thread
        log,  # type: ignore[arg-type]  # only append is used
        signer,
        pace,
        clock=SystemClock(),
        health=health,
        part="forward",
    )
    forwarder.drain()
    async with asyncio.timeout(90):
        await forwarder.run()
    return health


class _Here:
    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)


async def test_records_leave_in_order_and_are_forgotten(bench: Bench) -> None:
    for number in range(5):
        window(bench, number)
        bench.flush(T0 + number * 10_000)
    expected = [waiting.record.value for waiting in bench.waiting()]
    log = ScriptedLog()
    await forward(bench, log)
    # The batches are older than a minute: they are marked as backlog before they are signed.
    historical = [decode_batch(record.value or b"").historical for record in log.taken if record.topic == ROLLUPS]
    assert historical == [True] * 4
    assert [r.value for r in log.taken if r.topic != ROLLUPS] == [
        v for v in expected if v in {r.value for r in log.taken}
    ]
    assert bench.waiting() == []


async def test_a_log_that_is_away_is_waited_for(bench: Bench) -> None:
    window(bench, 0)
    bench.flush(T0)
    log = ScriptedLog()
    log.away = 1
    health = await forward(bench, log)
    assert health.reasons() == {"forward": "log: away"}
    assert len(bench.waiting()) > 0
    health = await forward(bench, log)
    assert (health.reasons(), bench.waiting()) == ({}, [])


async def test_a_record_that_is_too_large_holds_up_nobody(bench: Bench) -> None:
    window(bench, 0, series=200)
    window(bench, 1, series=3)
    window(bench, 2, series=3)
    bench.flush(T0 + 20_000)
    log = ScriptedLog()
    log.most_bytes = 1_500
    window(bench, 3, series=3)
    bench.flush(T0 + 30_000)
    await forward(bench, log)
    bench.flush(T0 + 30_000)
    assert bench.waiting() == []
    totals = bench.rooms.ledger.totals
    stored = sum(decode_batch(r.value or b"").ledger.net for r in log.taken if r.topic == ROLLUPS)
    assert stored > 0
    assert totals.dropped == {"outbox_full": 203}
    assert (totals.rolled_up, totals.unaccounted()) == (stored, 0)


def test_what_may_have_been_sent_is_never_dropped(bench: Bench) -> None:
    window(bench, 0)
    window(bench, 1)
    bench.flush(T0 + 10_000)
    head = bench.core.head()
    for number in range(2, 200):
        window(bench, number)
        bench.flush(T0 + number * 10_000)
    assert [waiting.id for waiting in bench.waiting()[: len(head)]] == [waiting.id for waiting in head]
    bench.restart()
    assert {waiting.id for waiting in bench.core.head()} >= {waiting.id for waiting in head}
    assert len(head) <= outbox_room.HEAD_RECORDS
