"""Counters of a gateway's metrics: they only ever rise, and tell no sample twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.flush import Flushed
from edge_aggregator.ledger import Totals
from edge_aggregator.meters import Meters
from edge_aggregator.pending import Pending
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import T0, Bench, edge_config

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.core import Standing


def counted(port: Telemetry, outcome: str, reason: str = "") -> float:
    labels = {"outcome": outcome, "reason": reason}
    return port.registry.get_sample_value("tidegate_edge_samples_total", labels) or 0.0


def with_counts(standing: Standing, rolled_up: int, dropped: int) -> Standing:
    totals = Totals(received=rolled_up + dropped, rolled_up=rolled_up, dropped={"outbox_full": dropped})
    return standing._replace(totals=totals)


def test_what_was_rolled_up_and_is_dropped_later_is_not_rolled_up_again(tmp_path: Path) -> None:
    bench = Bench(edge_config(tmp_path))
    standing, port = bench.core.standing(), Telemetry("test")
    meters = Meters(port)
    meters.begin(with_counts(standing, 0, 0), T0)
    for rolled_up, dropped in ((100, 0), (40, 70), (90, 70), (60, 120), (130, 120)):
        meters.flushed(Flushed(0, 0, Pending()), with_counts(standing, rolled_up, dropped), T0)
        assert counted(port, "rolled_up") == max(100, rolled_up)
        assert counted(port, "dropped", "outbox_full") == dropped
    assert counted(port, "received") == 250
    bench.close()
