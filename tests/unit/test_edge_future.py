"""Samples from the future are held to their arrival and counted: on the metrics page and in `edge status`, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.cli.standing import table
from edge_aggregator.flush import Moment
from edge_aggregator.meters import Meters
from edge_aggregator.status import status
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, Sample, edge_config, message, rows

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000


def counted(port: Telemetry) -> float | None:
    return port.registry.get_sample_value("tidegate_edge_skewed_samples_total")


def test_they_are_held_and_counted_on_the_metrics_page_and_in_the_status(tmp_path: Path) -> None:
    bench, port = Bench(edge_config(tmp_path)), Telemetry("test")
    meters = Meters(port)
    meters.begin(bench.core.standing(), T0)
    bench.take([message(Sample("fast", "m", T0 + HOUR + second, 1.0)) for second in range(3)], T0 + 1000)
    bench.take([message(Sample("right", "m", T0 + 59_000, 1.0))], T0 + 1000)  # within the tolerance
    flushed = bench.core.flush(Moment(T0 + 100_000, 0.0, T0, cut_off=False))
    assert flushed is not None
    meters.flushed(flushed, bench.core.standing(), T0 + 100_000)
    assert counted(port) == 3
    assert status(tmp_path / "edge").skewed == 3
    starts = {window.device: window.start for batch in bench.batches() for _, window, _ in rows(batch)}
    assert starts["fast"] == T0
    bench.close()


def test_a_restart_counts_none_twice_and_forgets_none(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path))
    bench.take([message(Sample("fast", "m", T0 + HOUR, 1.0))], T0)
    bench.flush(T0 + 1000)
    bench.take([message(Sample("fast", "m", T0 + HOUR + 1, 1.0))], T0 + 2000)
    bench.restart()
    bench.restart()
    bench.flush(T0 + 3000)
    bench.restart()
    bench.flush(T0 + 4000)
    assert status(tmp_path / "edge").skewed == 2
    bench.close()


def test_the_table_tells_of_them_where_there_are_any(tmp_path: Path) -> None:
    config = edge_config(tmp_path)
    bench = Bench(config)
    bench.flush(T0)
    assert "future" not in table(status(tmp_path / "edge"), None, config, T0, "it rests")
    bench.take([message(Sample("fast", "m", T0 + HOUR, 1.0))], T0)
    bench.flush(T0 + 1000)
    assert "from the future  1 samples" in table(status(tmp_path / "edge"), None, config, T0, "it rests")
    bench.close()
