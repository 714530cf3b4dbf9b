"""Long windows are shown before they end: each time whole, under a higher revision, no sample counted twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_aggregator.config import EdgeConfig, MetricConfig
from ingest.runtime.store.detail_fields import detail_fields
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, message, rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START = T0 - T0 % 600_000
METRICS = [MetricConfig(metric="slow*", width_s=600.0, early_s=60.0, quantiles=True)]


def settings(folder: Path) -> EdgeConfig:
    return edge_config(folder, metrics=METRICS, heartbeat_s=3600.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterable[Bench]:
    bench = Bench(settings(tmp_path))
    yield bench
    bench.close()


def send(bench: Bench, seconds: Iterable[int], metric: str = "slow") -> None:
    bench.take([message(Sample("pump-1", metric, START + at * 1000, float(at))) for at in seconds], START + 900_000)


def shown(bench: Bench) -> list[tuple[int, int, int]]:
    """Revision, count and net of every window that was shipped, in order."""
    batches = bench.batches()
    check_ledger(batches)
    assert all(len(batch) == 1 for batch in batches)
    return [(revision, numbers.count, batch.ledger.net) for batch in batches for revision, _, numbers in rows(batch)]


def test_a_long_window_shows_something_every_minute(bench: Bench) -> None:
    for second in range(0, 601, 30):
        send(bench, [second])
        bench.flush(START + second * 1000 + 500)
    assert shown(bench)[:3] == [(0, 3, 3), (1, 5, 2), (2, 7, 2)]
    assert shown(bench)[-1] == (9, 20, 1)
    totals = bench.rooms.ledger.totals
    assert (totals.received, totals.rolled_up, totals.open, totals.unaccounted()) == (21, 20, 1, 0)
    assert detail_fields(bench.batches()[0])["p50"].tolist() == [pytest.approx(30.0, rel=0.01)]


def test_without_anything_new_nothing_is_shown(bench: Bench) -> None:
    send(bench, [0, 61])
    bench.flush(START + 62_000)
    bench.flush(START + 200_000)
    send(bench, [119], metric="other")
    bench.flush(START + 200_000)
    assert shown(bench) == [(0, 2, 2)]


def test_a_restart_counts_nothing_twice(bench: Bench) -> None:
    send(bench, [0, 10, 61])
    bench.flush(START + 62_000)
    bench.restart()
    send(bench, [70])
    bench.restart()
    send(bench, [119, 121])
    bench.flush(START + 122_000)
    bench.restart()
    send(bench, [600])
    bench.flush(START + 601_000)
    assert shown(bench) == [(0, 3, 3), (1, 6, 3), (2, 6, 0)]
    totals = bench.rooms.ledger.totals
    assert (totals.received, totals.rolled_up, totals.open, totals.unaccounted()) == (7, 6, 1, 0)


def test_repetitions_and_late_samples_come_out_right(bench: Bench) -> None:
    send(bench, [0, 10, 61, 61])
    bench.flush(START + 62_000)
    send(bench, [5, 10, 130])
    bench.flush(START + 131_000)
    send(bench, [600])
    bench.flush(START + 601_000)
    send(bench, [7])
    bench.flush(START + 602_000)
    assert shown(bench) == [(0, 3, 3), (1, 5, 2), (2, 5, 0), (3, 6, 1)]
    totals = bench.rooms.ledger.totals
    assert (totals.received, totals.duplicate, totals.rolled_up, totals.open) == (9, 2, 6, 1)
    assert totals.unaccounted() == 0


def test_what_the_outbox_dropped_of_an_open_window_comes_with_the_whole_of_it(bench: Bench) -> None:
    send(bench, [0, 10, 61])
    bench.flush(START + 62_000)
    (waiting,) = [record for record in bench.waiting() if record.record.topic == "telemetry.rollups.v1"]
    bench.core.refuse(waiting)
    bench.flush(START + 63_000)
    send(bench, [121, 600])
    bench.flush(START + 601_000)
    totals = bench.rooms.ledger.totals
    assert (totals.received, totals.rolled_up, totals.dropped, totals.open) == (5, 4, {}, 1)
    assert totals.unaccounted() == 0
