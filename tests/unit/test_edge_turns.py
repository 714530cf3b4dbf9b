"""When many windows close at once: a flush in turns, each whole by itself, with commits in between."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from edge_aggregator.intake import EdgeIntake
from edge_aggregator.live.recent import Recent
from edge_aggregator.meters import Meters
from edge_aggregator.pipeline import Pipeline
from edge_aggregator.receive.port import Arrival
from edge_aggregator.thread import OneThread
from ingest.contract.topics import DEVICES
from ingest.runtime.clock import SystemClock
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, final_rollups, message

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.receive.port import Message

DEVICES_HEARD, METRICS = 5, ("a", "b")
AT_ONCE = 4
"""Windows: two devices."""


def said(second: int) -> list[Message]:
    return [
        message(Sample(f"d{device}", metric, T0 + second * 1000, float(second)))
        for device in range(DEVICES_HEARD)
        for metric in METRICS
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(edge_config(tmp_path, heartbeat_s=0.001))
    bench.rooms.windows_at_once = AT_ONCE
    bench.flush(T0)
    bench.take(said(1), T0 + 1000)
    bench.take(said(11), T0 + 11_000)
    return bench


def heartbeats(bench: Bench) -> int:
    return sum(one.record.topic == DEVICES and b"backlog_bytes" in (one.record.value or b"") for one in bench.waiting())


def test_each_turn_closes_some_devices_windows_and_the_heartbeat_comes_last(bench: Bench) -> None:
    before, turns = heartbeats(bench), []
    while (flushed := bench.flush(T0 + 11_500, turn=True)) is not None:
        turns.append((flushed.windows, flushed.more, bench.rooms.windows.open.samples()))
        if not flushed.more:
            break
        assert bench.rooms.ledger.totals.unaccounted() == 0
    assert turns == [(4, True, 16), (4, True, 12), (2, False, 10)]
    assert [len(batch) for batch in bench.batches()] == [4, 4, 2]
    assert heartbeats(bench) == before == 1  # the one before was never sent: this one is in its place
    check_ledger(bench.batches())
    bench.close()


def test_a_flush_takes_all_turns(bench: Bench) -> None:
    flushed = bench.flush(T0 + 11_500)
    assert flushed is not None
    assert (flushed.windows, flushed.more) == (10, False)
    assert bench.rooms.windows.open.samples() == 10
    bench.close()


def test_a_stop_between_turns_loses_and_repeats_nothing(bench: Bench) -> None:
    bench.flush(T0 + 11_500, turn=True)
    bench.restart()
    bench.take(said(12), T0 + 12_000)
    bench.flush(T0 + 12_500)
    found = final_rollups(bench.batches())
    assert len(found) == DEVICES_HEARD * len(METRICS)
    assert {numbers.count for numbers in found.values()} == {1}
    check_ledger(bench.batches())
    assert bench.rooms.ledger.totals.unaccounted() == 0
    bench.close()


def test_a_sample_that_comes_between_turns_counts_once(bench: Bench) -> None:
    bench.flush(T0 + 11_500, turn=True)
    late = [message(Sample(f"d{device}", "a", T0 + 2000, 7.0)) for device in range(DEVICES_HEARD)]
    bench.take(late, T0 + 11_600)  # of d0 the window has closed, of d4 it has not
    bench.flush(T0 + 12_000)
    found = final_rollups(bench.batches())
    assert {window.device: numbers.count for window, numbers in found.items() if window.metric == "a"} == {
        f"d{device}": 2 for device in range(DEVICES_HEARD)
    }
    bench.close()


async def test_what_arrives_meanwhile_is_acknowledged_between_turns(bench: Bench) -> None:
    order: list[str] = []
    core, clock, thread = bench.core, SystemClock(), OneThread("test")
    intake = EdgeIntake(clock, most_bytes=1 << 20, commit_bytes=1 << 20, commit_samples=1 << 20, interval_s=0.0)
    flush_turn, telemetry = core.flush_turn, Telemetry("test")
    loop = asyncio.get_running_loop()

    def turn(*args: object) -> object:
        order.append("turn")
        if order.count("turn") == 1:
            arrival = Arrival("test", said(12), 100, partial(order.append, "acknowledged"))
            loop.call_soon_threadsafe(intake.offer, arrival)
        return flush_turn(*args)  # type: ignore[arg-type]

    core.flush_turn = turn  # type: ignore[method-assign,assignment]
    meters = Meters(telemetry)
    meters.begin(core.standing(), clock.now_ms())
    pipeline = Pipeline(
        core,
        thread,
        intake,
        [],
        clock=clock,
        meters=meters,
        recent=Recent(clock.monotonic()),
        flush_s=3600.0,
        flushed=lambda: order.append("flushed"),
        asked=lambda _requests: None,
        answered=lambda: None,
    )
    running = asyncio.create_task(pipeline.run())
    while "flushed" not in order:
        assert not running.done()
        await asyncio.sleep(0.01)
    pipeline.drain()
    await running
    assert order[:3] == ["turn", "acknowledged", "turn"]
    assert order.count("acknowledged") == 1
    thread.close()
    bench.close()


def test_a_gateway_is_still_when_nothing_is_open_and_nothing_has_come(bench: Bench) -> None:
    assert not bench.core.still()  # what came is not flushed
    bench.flush(T0 + 11_500)
    assert not bench.core.still()  # windows are open
    bench.flush(T0 + 100_000)
    assert bench.core.still()
    bench.take(said(101), T0 + 101_000)
    assert not bench.core.still()
    bench.flush(T0 + 200_000)
    bench.core.refuse(bench.waiting()[-1])
    assert not bench.core.still()  # that record is to be forgotten, and counted
    bench.close()
