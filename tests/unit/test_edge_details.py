"""Details of windows through a gateway's core: quantiles, growth of counters, changes of states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_aggregator.config import EdgeConfig, MetricConfig
from edge_aggregator.windows.held import HeldSamples
from ingest.runtime.store.detail_fields import detail_fields
from tests.edge_bench import T0, Bench, Sample, edge_config, final_details, message, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ingest.contract.batch import RollupBatch

METRICS = [
    MetricConfig(metric="latency_*", quantiles=True),
    MetricConfig(metric="energy", kind="counter"),
    MetricConfig(metric="mode", kind="state"),
    MetricConfig(metric="not_a_total", kind="gauge"),
]


def settings(folder: Path) -> EdgeConfig:
    return edge_config(folder, metrics=METRICS, heartbeat_s=3600.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(settings(tmp_path))
    yield bench
    bench.close()


def send(bench: Bench, metric: str, values: Iterable[tuple[int, float]]) -> None:
    messages = [message(Sample("pump-1", metric, T0 + at, value)) for at, value in values]
    bench.take(messages, T0 + 3_600_000)


def told(batches: Iterable[RollupBatch], field: str) -> dict[int, list[float]]:
    """The field of each window by its start (s since T0), revision after revision."""
    found: dict[int, list[float]] = {}
    for batch in batches:
        column = detail_fields(batch).get(field)
        for row, (_, window, _) in enumerate(rows(batch)):
            if column is not None and column[row] == column[row]:
                found.setdefault((window.start - T0) // 1000, []).append(float(column[row]))
    return found


def test_quantiles_are_told_where_they_are_asked_for(bench: Bench) -> None:
    send(bench, "latency_ms", [(step * 10, 1.0 + step) for step in range(1000)])
    send(bench, "latency_ms", [(10_000, 1.0)])
    send(bench, "plain", [(0, 1.0), (10_000, 1.0)])
    bench.flush(T0 + 11_000)
    for field, true in (("p50", 500.0), ("p90", 900.0), ("p95", 950.0), ("p99", 990.0)):
        (value,) = told(bench.batches(), field)[0]
        assert value == pytest.approx(true, rel=0.0101)
    assert [window.metric for window in final_details(bench.batches())] == ["latency_ms"]


def test_a_counter_grows_over_windows_resets_and_restarts(bench: Bench) -> None:
    send(bench, "energy", [(0, 100.0), (5_000, 103.0), (12_000, 110.0)])
    bench.flush(T0 + 12_500)
    bench.restart()
    send(bench, "energy", [(15_000, 112.0), (21_000, 2.0), (29_000, 5.0), (30_000, 6.0)])
    bench.flush(T0 + 31_000)
    assert told(bench.batches(), "increase") == {0: [3.0], 10: [9.0], 20: [5.0]}
    assert told(bench.batches(), "resets") == {0: [0.0], 10: [0.0], 20: [1.0]}
    assert told(bench.batches(), "rate")[10] == [0.9]


def test_a_late_sample_corrects_the_window_after_its_own_as_well(bench: Bench) -> None:
    send(bench, "energy", [(0, 100.0), (11_000, 110.0), (20_000, 111.0)])
    bench.flush(T0 + 21_000)
    assert told(bench.batches(), "increase") == {0: [0.0], 10: [10.0]}
    send(bench, "energy", [(9_000, 107.0)])
    bench.flush(T0 + 22_000)
    assert told(bench.batches(), "increase") == {0: [0.0, 7.0], 10: [10.0, 3.0]}
    totals = bench.rooms.ledger.totals
    assert (totals.rolled_up, totals.open, totals.unaccounted()) == (3, 1, 0)


def test_after_a_long_gap_a_counter_begins_anew(bench: Bench) -> None:
    send(bench, "energy", [(0, 100.0), (299_000, 150.0), (600_000, 200.0), (610_000, 201.0)])
    bench.flush(T0 + 611_000)
    assert told(bench.batches(), "increase") == {0: [0.0], 290: [50.0], 600: [0.0]}


def test_counters_are_known_by_their_name_unless_it_is_said_otherwise(bench: Bench) -> None:
    for metric in ("requests_total", "not_a_total"):
        send(bench, metric, [(0, 1.0), (1_000, 4.0), (10_000, 4.0)])
    bench.flush(T0 + 11_000)
    (batch,) = bench.batches()
    assert {metric.name: metric.kind for metric in batch.metrics} == {
        "requests_total": "counter",
        "not_a_total": "gauge",
    }
    assert [window.metric for window in final_details([batch])] == ["requests_total"]


def test_a_state_tells_its_last_value_and_its_changes(bench: Bench) -> None:
    send(
        bench, "mode", [(0, 1.0), (1_000, 1.0), (2_000, 2.0), (3_000, 1.0), (11_000, 3.0), (12_000, 3.0), (20_000, 3.0)]
    )
    bench.flush(T0 + 21_000)
    assert told(bench.batches(), "changes") == {0: [2.0], 10: [1.0]}
    assert [numbers.last for batch in bench.batches() for _, _, numbers in rows(batch)] == [1.0, 3.0]
    assert bench.batches()[0].metrics[0].kind == "state"


def test_what_finds_no_room_in_memory_is_computed_from_the_journal(bench: Bench) -> None:
    bench.rooms.windows.held = HeldSamples(most=3)
    send(bench, "energy", [(step * 1000, float(step)) for step in range(0, 10, 5)])
    send(bench, "energy", [(step * 1000, float(step)) for step in range(6, 31)])
    bench.flush(T0 + 31_000)
    assert told(bench.batches(), "increase") == {0: [9.0], 10: [10.0], 20: [10.0]}
