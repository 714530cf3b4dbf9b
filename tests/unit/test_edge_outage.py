"""An outage: resolution goes before coverage, the newest leaves first, and the backlog drains beside it and says so."""

from __future__ import annotations

import asyncio
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.config import MetricConfig
from edge_aggregator.forward import Forwarder, Signer
from edge_aggregator.outbox import outbox as outbox_room
from edge_aggregator.outbox.outbox import Kind, Tried
from edge_aggregator.outbox.pace import FIRST_BYTES_PER_S, LEAST_BYTES_PER_S, STEP_BYTES_PER_S, Pace
from ingest.contract.batch_wire import decode_batch
from ingest.contract.ledger import join_spans
from ingest.contract.topics import ROLLUPS
from ingest.runtime.health import Health
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, message, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_aggregator.outbox.outbox import Waiting
    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Outgoing

MINUTE_MS = 60_000
GOLDEN = Path(__file__).parents[1] / "golden"


SERIES = 40
A_MINUTE = SERIES * 6


def outage(bench: Bench, minutes: int, first: int = 0) -> int:
    """So many minutes without a link: a sample of each series every ten seconds; how many there were."""
    for minute in range(first, first + minutes):
        start = T0 + minute * MINUTE_MS
        samples = [
            Sample("d", f"m{m}", start + at, float(m)) for m in range(SERIES) for at in range(0, MINUTE_MS, 10_000)
        ]
        bench.take([message(sample) for sample in samples], start + MINUTE_MS)
        bench.flush(start + MINUTE_MS)
        assert bench.rooms.state.outbox.bytes <= bench.config.outbox_bytes
    return minutes * A_MINUTE


def seqs(bench: Bench) -> tuple[list[int], list[int], list[int]]:
    """Of all seqs given so far: those that wait, those that others replace, those declared gone."""
    entries = [batch.ledger for batch in bench.batches()]
    replaced = join_spans(*(entry.replaces for entry in entries))
    gone = join_spans(*(entry.gone for entry in entries), bench.rooms.ledger.gone)
    named = [[seq for first, last in spans for seq in range(first, last + 1)] for spans in (replaced, gone)]
    return [entry.seq for entry in entries], *named


def widths_in_time(batches: list[RollupBatch]) -> list[int]:
    return [
        window.width
        for window in sorted((one for batch in batches for _, one, _ in rows(batch)), key=lambda w: w.start)
    ]


def counted(batches: list[RollupBatch]) -> int:
    return sum(numbers.count for batch in batches for _, _, numbers in rows(batch))


def test_resolution_goes_before_coverage_the_oldest_first(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=10**6, outbox_bytes=28 * 1024))
    sent = outage(bench, 45)
    batches, totals = bench.batches(), bench.rooms.ledger.totals
    widths = widths_in_time(batches)
    assert widths == sorted(widths, reverse=True)
    assert set(widths) == {600_000, 60_000, 10_000}
    assert (totals.dropped, totals.unaccounted()) == ({}, 0)
    assert counted(batches) == totals.rolled_up == sent - totals.open
    # Whatever was rewritten is named by what stands for it, and nothing is named twice.
    waiting, replaced, gone = seqs(bench)
    assert sorted([*waiting, *replaced, *gone]) == list(range(1, bench.rooms.ledger.head.seq + 1))
    assert replaced
    assert all(batch.ledger.replaces for batch in batches if set(batch.column("width").tolist()) == {600_000})
    bench.close()


def test_what_cannot_become_coarser_is_dropped_the_oldest_first_and_counted(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=10**6, outbox_bytes=28 * 1024))
    sent = outage(bench, 25)
    bench.rooms.room.configure(most_bytes=8_000)
    sent += outage(bench, 10, first=25)
    batches, totals = bench.batches(), bench.rooms.ledger.totals
    assert bench.rooms.state.outbox.bytes <= 8_000
    starts = sorted(window.start for batch in batches for _, window, _ in rows(batch))
    assert starts[0] > T0
    # What is left is all that came since: every series, whole.
    assert counted(batches) == SERIES * (T0 + 35 * MINUTE_MS - starts[0]) // 10_000 - totals.open
    assert totals.dropped == {"outbox_full": sent - totals.open - counted(batches)}
    assert (totals.rolled_up, totals.unaccounted()) == (counted(batches), 0)
    waiting, replaced, gone = seqs(bench)
    assert sorted([*waiting, *replaced, *gone]) == list(range(1, bench.rooms.ledger.head.seq + 1))
    assert gone
    bench.close()


def every_ten_seconds(bench: Bench, first: int, last: int) -> None:
    """A sample of each series and a flush at [first, last) in units of ten seconds."""
    for at in range(T0 + first * 10_000, T0 + last * 10_000, 10_000):
        bench.take([message(Sample("d", f"m{m}", at, float(m))) for m in range(SERIES)], at)
        bench.flush(at)


def squeeze(bench: Bench, at: int) -> None:
    """The outbox may hold three quarters of what waits."""
    bench.rooms.room.configure(most_bytes=bench.rooms.state.outbox.bytes * 3 // 4)
    bench.take([message(Sample("d", "m0", at, 0.0))], at)
    bench.flush(at)


def test_windows_of_several_widths_become_coarser_together(tmp_path: Path) -> None:
    # Half a minute after the beginning there is a record of the narrow windows alone: it must not decide for all.
    config = edge_config(tmp_path, heartbeat_s=10**6, metrics=[MetricConfig(metric="m0", width_s=5.0)])
    bench = Bench(config)
    first = T0 + 40_000  # the beginning of a cell's minute
    for at in range(first, first + 5 * MINUTE_MS, 5_000):
        bench.take([message(Sample("d", f"m{m}", at, float(m))) for m in range(SERIES)], at)
        bench.flush(at)
    squeeze(bench, first + 5 * MINUTE_MS)
    widths = widths_in_time(bench.batches())
    assert set(widths[:SERIES]) == {60_000}
    assert bench.rooms.ledger.totals.dropped == {}
    bench.close()


def test_what_stays_of_a_cell_lets_the_next_cell_become_coarser(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path, heartbeat_s=10**6))
    every_ten_seconds(bench, 0, 41)  # a cell ends 400 s after T0: all of it has been sent
    while waiting := bench.core.head():
        bench.core.sent(waiting)
    bench.take([message(Sample("d", "m0", T0 + 395_000, 1.0))], T0 + 400_000)  # late, in one record with what is new
    every_ten_seconds(bench, 41, 65)
    squeeze(bench, T0 + 650_000)
    assert 60_000 in widths_in_time(bench.batches())
    assert bench.rooms.ledger.totals.dropped == {}
    bench.close()


def starts_of(waiting: Sequence[Waiting]) -> list[int]:
    found = [decode_batch(one.record.value or b"") for one in waiting if one.kind is Kind.ROLLUPS]
    return [int(batch.column("start").min()) for batch in found if len(batch)]


def test_after_an_outage_the_newest_leaves_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_room, "HEAD_RECORDS", 4)
    bench = Bench(edge_config(tmp_path, heartbeat_s=10**6))
    outage(bench, 15)
    newest = starts_of(bench.core.fresh())
    assert newest[-1] >= T0 + 13 * MINUTE_MS
    bench.restart()
    # What may have arrived goes first, as it was.
    again: list[Waiting] = []
    while len(starts_of(again)) < len(newest):
        tried = bench.core.fresh()
        again += tried
        bench.core.sent(tried)
    assert starts_of(again) == newest
    drained: list[Waiting] = []
    while backlog := bench.core.backlog(1):
        assert [one.tried for one in backlog] == [Tried.BACKLOG]
        drained += backlog
        bench.core.sent(backlog)
    left = starts_of(drained)
    assert left == sorted(left, reverse=True)
    assert (left[0] < newest[0], left[-1]) == (True, T0)
    # Backlog says that it is backlog, however short it has waited.
    signer = Signer(Ed25519PrivateKey.generate(), historical_after_ms=10**9)
    assert all(decode_batch(signer.sign(one, one.created).value or b"").historical for one in drained)
    assert not any(
        decode_batch(signer.sign(one, one.created).value or b"").historical for one in again if one.kind is Kind.ROLLUPS
    )
    bench.close()


def test_a_backlog_takes_what_the_brokers_can_give() -> None:
    pace = Pace(most=1_000_000, patience_s=0.5)
    assert pace.sent(FIRST_BYTES_PER_S, 0.25) == 0.75  # no more than the rate allows
    rates = [pace.rate]
    for _ in range(5):
        pace.sent(1000, 0.1)
        rates.append(pace.rate)
    assert rates == sorted(rates)
    assert rates[-1] == 1_000_000
    pace.sent(1000, 0.6)  # slow
    assert pace.rate == 500_000
    pace.slow_down()  # away
    assert pace.rate == 250_000
    pace.sent(1000, 0.1)
    assert pace.rate == 250_000 + STEP_BYTES_PER_S
    pace.configure(most=100_000, patience_s=0.5)  # a reload
    assert pace.rate == 100_000
    for _ in range(100):
        pace.slow_down()
    assert pace.rate == LEAST_BYTES_PER_S


class Simulated:
    """A clock that sleeps by moving on, and a log whose appends take `append_s`; `met` is called at each sleep."""

    def __init__(self, append_s: float) -> None:
        self.now, self.append_s = 0.0, append_s
        self.appended: list[tuple[float, list[Outgoing]]] = []
        self.met: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return T0 + round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.met()
        for _ in range(20):  # others have their turn
            await asyncio.sleep(0)

    async def append(self, records: Sequence[Outgoing]) -> None:
        if any(record.topic == ROLLUPS and decode_batch(record.value or b"").historical for record in records):
            self.now += self.append_s
        self.appended.append((self.now, list(records)))


async def drained(bench: Bench, world: Simulated, pace: Pace) -> None:
    """Forward until nothing waits."""
    forwarder = Forwarder(
        bench.core,
        _Here(),  # type: ignore[arg-type]  # the files belong to the test's own thread
        world,  # type: ignore[arg-type]  # only append is used
        Signer(Ed25519PrivateKey.generate(), historical_after_ms=10**9),
        pace,
        clock=world,
        health=Health(),
        part="forward",
    )
    world.met = forwarder.more.set
    running = asyncio.create_task(forwarder.run())
    async with asyncio.timeout(60):
        while bench.rooms.state.outbox.records:  # noqa: ASYNC110 - nothing tells when the last one has gone
            await asyncio.sleep(0)
    forwarder.drain()
    await running


class _Here:
    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)


def historical(records: Sequence[Outgoing]) -> list[RollupBatch]:
    batches = [decode_batch(record.value or b"") for record in records if record.topic == ROLLUPS]
    return [batch for batch in batches if batch.historical]


async def test_live_data_leaves_between_the_turns_of_a_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_room, "HEAD_RECORDS", 8)
    bench, world = Bench(edge_config(tmp_path, heartbeat_s=10**6)), Simulated(append_s=0.01)
    outage(bench, 20)
    flushed: list[int] = []

    async def sleep(seconds: float) -> None:
        minute = 20 + len(flushed)
        if minute < 26:
            start = T0 + minute * MINUTE_MS
            bench.take([message(Sample("d", "m0", start, 0.0))], start)
            bench.flush(start)
            flushed.append(bench.rooms.ledger.head.seq)
        await Simulated.sleep(world, seconds)

    monkeypatch.setattr(world, "sleep", sleep)
    await drained(bench, world, Pace(most=2_000, patience_s=1.0))
    news = [
        (place, batch.seq)
        for place, (_, records) in enumerate(world.appended)
        for batch in [decode_batch(record.value or b"") for record in records if record.topic == ROLLUPS]
        if batch.seq in flushed
    ]
    backlog = [place for place, (_, records) in enumerate(world.appended) if historical(records)]
    assert [seq for _, seq in news] == flushed
    # None of them waited for the backlog: it went on beside them, and after them.
    assert all(place < backlog[-1] for place, _ in news)
    assert all(later - earlier <= 2 for (earlier, _), (later, _) in pairwise(news))
    bench.close()


@pytest.mark.parametrize(("append_s", "slow"), [(0.01, False), (2.0, True)])
async def test_the_byte_rate_of_a_backlog_is_kept_and_falls_when_brokers_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, append_s: float, *, slow: bool
) -> None:
    monkeypatch.setattr(outbox_room, "HEAD_RECORDS", 8)
    bench, world = Bench(edge_config(tmp_path, heartbeat_s=10**6)), Simulated(append_s)
    outage(bench, 20)
    most = 20_000
    pace = Pace(most=most, patience_s=0.5)
    await drained(bench, world, pace)
    sizes = [
        sum(len(record.value or b"") for record in records) for _, records in world.appended if historical(records)
    ]
    times = [at for at, records in world.appended if historical(records)]
    assert sum(sizes[:-1]) <= most * (times[-1] - times[0]) + append_s * most
    assert (pace.rate < most) is slow
    assert (sum(sizes) / (times[-1] - times[0]) < most / 2) is slow
    bench.close()


def test_an_outbox_of_version_1_goes_on(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN / "edge-outbox-v1.zip") as packed:
        packed.extractall(tmp_path / "edge")
    bench = Bench(edge_config(tmp_path, heartbeat_s=10**6))
    batches, totals = bench.batches(), bench.rooms.ledger.totals
    assert (len(batches), counted(batches), totals.rolled_up, totals.open) == (299, 598, 598, 2)
    # Which ones it had sent was not written down then: those that it may have, go first, as they are.
    fresh = bench.core.fresh()
    assert [one.tried for one in fresh] == [Tried.FRESH] * outbox_room.HEAD_RECORDS
    assert starts_of(fresh)[0] == T0
    bench.core.returned(fresh)
    tried = {one.id for one in fresh}
    # They stay however full it is; the others give way as they are, and are counted.
    bench.rooms.room.configure(most_bytes=0)
    for number in range(300, 310):
        at = T0 + number * 10_000
        bench.take([message(Sample("a", "m", at, 1.0))], at)
        bench.flush(at)
    left, totals = bench.waiting(), bench.rooms.ledger.totals
    assert tried <= {one.id for one in left}
    assert totals.dropped["outbox_full"] > 0
    assert (totals.received, totals.unaccounted()) == (610, 0)
    waiting, replaced, gone = seqs(bench)
    assert sorted([*waiting, *replaced, *gone]) == list(range(1, bench.rooms.ledger.head.seq + 1))
    check_ledger(batches)
    bench.close()
