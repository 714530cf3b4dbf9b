"""The crash engine's judge finds what is lost, counted twice, invented and unbalanced."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from compose.bench.crash.centre import Centre
from compose.bench.crash.oracle import Judgement, judge, unlike
from edge_aggregator.ledger import Ledger, Totals
from edge_aggregator.storage import Storage
from ingest.contract.ledger import ClassCounts
from tests.edge_bench import T0, Bench, edge_config, telemetry

Said = dict[tuple[str, str], dict[int, float]]
SAMPLES: Said = {("d", "m"): {T0 + second * 1000: float(second * second) for second in range(30)}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A gateway that took all samples and closed all windows."""
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0), storage=Storage())
    for ts, value in SAMPLES["d", "m"].items():
        bench.take([telemetry("d", {"ts": ts, "metrics": {"m": value}})], ts)
        bench.flush(ts)
    bench.flush(T0 + 10_000_000)
    return bench


def judged(
    bench: Bench, skip: int | None = None, totals: Totals | None = None, samples: Said | None = None
) -> Judgement:
    centre = Centre()
    records = [waiting.record for waiting in bench.waiting()]
    centre.append(record for number, record in enumerate(records) if number != skip)
    return judge(SAMPLES if samples is None else samples, 30, centre, totals or bench.rooms.ledger.totals)


def test_what_arrived_whole_is_in_order(bench: Bench) -> None:
    found = judged(bench)
    assert not found.wrong()
    assert found[:4] == (0, 0, 0, 0)


def test_a_batch_that_is_missing_is_a_loss_and_a_gap(bench: Bench) -> None:
    first = next(n for n, waiting in enumerate(bench.waiting()) if waiting.record.topic == "telemetry.rollups.v1")
    found = judged(bench, skip=first)
    assert found.lost == 10
    assert any("gap" in text for text in found.complaints)


def test_a_sample_that_nobody_said_is_found(bench: Bench) -> None:
    fewer = {("d", "m"): dict(list(SAMPLES["d", "m"].items())[1:])}
    assert judged(bench, samples=fewer).duplicated == 1
    assert "invented" in judged(bench, samples={}).complaints[0]


def test_another_sample_with_another_value_is_found(bench: Bench) -> None:
    other = {("d", "m"): SAMPLES["d", "m"] | {T0: 1.0}}
    assert judged(bench, samples=other).duplicated == 10


def test_classes_that_do_not_balance_or_add_up_are_found(bench: Bench) -> None:
    totals = bench.rooms.ledger.totals
    classes = bench.rooms.ledger.account.classes(totals.counts())
    assert unlike(classes, totals) == []
    (counts,) = classes.values()
    assert len(unlike(classes | {"rev-b": ClassCounts(1, 1)}, totals)) == 2
    moved = {"": msgspec.structs.replace(counts, received=counts.received - 1), "rev-b": ClassCounts(1)}
    assert [text.split(":")[0] for text in unlike(moved, totals)] == [
        "class '' does not balance",
        "class 'rev-b' does not balance",
    ]


def test_an_account_that_does_not_balance_is_found(bench: Bench) -> None:
    ledger = Ledger(bench.rooms.ledger.totals, bench.rooms.ledger.head)
    ledger.receive(1, {})
    found = judged(bench, totals=ledger.totals)
    assert found.ledger_mismatches == 2
    assert found[:2] == (0, 0)
