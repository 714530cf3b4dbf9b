"""A gateway that is told to stop commits what it has read for a little while; what is left is not acknowledged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from edge_aggregator.intake import MOST_TRIGGERS, EdgeIntake
from edge_aggregator.live.recent import Recent
from edge_aggregator.meters import Meters
from edge_aggregator.pipeline import DRAIN_S, Pipeline
from edge_aggregator.receive.port import Arrival
from edge_aggregator.thread import OneThread
from ingest.runtime.clock import ManualClock
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, Sample, edge_config, message

if TYPE_CHECKING:
    from pathlib import Path

EACH = 1000
"""Bytes of an arrival, and what makes a commit due."""


@pytest.mark.parametrize(("commit_s", "commits"), [(0.0, 25), (0.5, 4), (60.0, 1)])
async def test_commits_of_a_draining_gateway_end_in_time(tmp_path: Path, commit_s: float, commits: int) -> None:
    bench, clock, thread = Bench(edge_config(tmp_path)), ManualClock(T0), OneThread("test")
    whole = bench.core.commit

    def slow(taken: Any) -> int:
        clock.advance(commit_s)
        return whole(taken)

    bench.core.commit = slow  # type: ignore[method-assign]
    intake = EdgeIntake(clock, most_bytes=1 << 30, commit_bytes=EACH, commit_samples=1000, interval_s=0.1)
    acknowledged: list[int] = []
    for number in range(25 * MOST_TRIGGERS):
        one = message(Sample("d", "m", T0 + number, 1.0))
        intake.offer(Arrival("test", [one], EACH, partial(acknowledged.append, number)))
    pipeline = Pipeline(
        bench.core,
        thread,
        intake,
        [],
        clock=clock,
        meters=Meters(Telemetry("test")),
        recent=Recent(clock.monotonic()),
        flush_s=3600.0,
        flushed=lambda: None,
        asked=lambda _requests: None,
        answered=lambda: None,
    )
    pipeline.drain()
    await pipeline.run()
    thread.close()
    assert commits == 25 or commits * commit_s >= DRAIN_S
    assert acknowledged == list(range(len(acknowledged)))
    assert commits * (MOST_TRIGGERS - 1) <= len(acknowledged) <= commits * MOST_TRIGGERS
    totals = bench.rooms.ledger.totals
    assert (totals.received, totals.unaccounted()) == (len(acknowledged), 0)
    bench.close()
