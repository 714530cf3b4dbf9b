"""One device cannot take what its neighbours need; what exceeds its quota adds up in its overflow series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from edge_aggregator.metric_facts import OVERFLOW_METRIC
from edge_aggregator.names import SeriesName
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.status import status
from tests.edge_bench import T0, Bench, Window, check_ledger, edge_config, final_rollups, telemetry

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000


def bench(folder: Path, quotas: QuotaConfig, **changes: Any) -> Bench:
    return Bench(edge_config(folder, quotas=quotas, **({"heartbeat_s": 3600.0, "idle_close_s": 5.0} | changes)))


def reading(device: str, ts: int, **metrics: float) -> Any:
    return telemetry(device, {"ts": ts, "metrics": metrics})


def overflow(site: Bench, device: str, start: int = T0) -> tuple[int, float]:
    numbers = final_rollups(site.batches())[Window(device, OVERFLOW_METRIC, start, 10_000)]
    return numbers.count, numbers.sum


def test_a_device_with_too_many_series_adds_up_in_one(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(series=2))
    site.take([reading("bad", T0, a=1, b=2, c=3, d=4), reading("good", T0, a=5)], T0)
    site.take([reading("bad", T0 + 1, a=1, b=2, c=3, d=4)], T0)
    site.flush(T0 + 60_000)
    found = {(window.device, window.metric): n.count for window, n in final_rollups(site.batches()).items()}
    assert found == {("bad", "a"): 2, ("bad", "b"): 2, ("bad", OVERFLOW_METRIC): 4, ("good", "a"): 1}
    assert overflow(site, "bad") == (4, 14.0)  # the two samples of each moment are no duplicates
    assert status(tmp_path / "edge").over_quota == {"bad": 4}
    site.close()


def test_a_device_that_sends_too_fast_keeps_what_it_may_of_every_series(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(samples_per_s=4.0, burst_s=1.0, overflow_factor=1.5))
    site.take([reading("bad", T0 + n, fast=1.0) for n in range(9)] + [reading("bad", T0, slow=7.0)], T0)
    site.take([reading("good", T0 + n, fast=1.0) for n in range(4)], T0)
    site.flush(T0 + 60_000)
    found = {(window.device, window.metric): n.count for window, n in final_rollups(site.batches()).items()}
    assert found == {("bad", "fast"): 3, ("bad", "slow"): 1, ("bad", OVERFLOW_METRIC): 6, ("good", "fast"): 4}
    site.take([reading("bad", T0 + 60_000 + n, fast=1.0) for n in range(14)], T0 + 61_000)
    assert site.rooms.ledger.totals.rejected == {"over_quota": 4}
    site.close()


def test_bytes_count_as_well(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(bytes_per_s=1000.0, burst_s=1.0))
    part = {"ts": T0, "metrics": {"a" * 180: 1, "b" * 180: 2}}
    site.take([telemetry("bad", [part] * 3), reading("good", T0, a=1)], T0)  # one payload of 1,200 bytes, counted once
    assert dict(site.rooms.pending.overflowed) == {"bytes": 2}
    site.take([telemetry("bad", [part] * 2)], T0 + 1000)
    assert dict(site.rooms.pending.overflowed) == {"bytes": 2}
    site.close()


def test_late_data_and_a_crash_change_nothing_of_what_was_decided(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(series=1))
    site.take([reading("bad", T0, a=1, b=0.1, c=0.2)], T0)
    site.restart()
    site.take([reading("bad", T0 + 5, a=1, b=0.3)], T0)
    site.flush(T0 + 60_000)
    site.restart()
    site.take([reading("bad", T0 + 5, b=0.3, c=1e-9)], T0 + 60_000)  # late, and a repetition that cannot be told
    site.flush(T0 + 120_000)
    assert overflow(site, "bad") == (5, 0.1 + 0.2 + 0.3 + 0.3 + 1e-9)
    check_ledger(site.batches())
    assert site.rooms.ledger.totals.unaccounted() == 0
    site.close()


def test_what_does_not_even_fit_into_the_overflow_is_rejected(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(), max_series=2)
    site.take([reading("d", T0, a=1, b=2, c=3)], T0)
    assert site.rooms.ledger.totals.rejected == {"too_many_series": 1}
    site.take([reading("d", T0, **{OVERFLOW_METRIC: 3})], T0)
    assert site.rooms.ledger.totals.rejected == {"too_many_series": 1, "bad_name": 1}
    site.close()


def test_a_series_that_comes_back_has_its_old_id_and_its_late_windows(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(series=1, expiry_h=1.0))
    site.take([reading("d", T0, old=1)], T0)
    site.flush(T0 + 1000)
    site.flush(T0 + 2 * HOUR_MS)
    site.take([reading("d", T0 + 2 * HOUR_MS, new=2)], T0 + 2 * HOUR_MS)  # takes the place that became free
    site.take([reading("d", T0 + 1, old=5)], T0 + 2 * HOUR_MS)
    assert dict(site.rooms.pending.overflowed) == {"series": 1}
    site.flush(T0 + 3 * HOUR_MS)
    site.flush(T0 + 5 * HOUR_MS)
    site.take([reading("d", T0 + 2, old=7)], T0 + 5 * HOUR_MS)
    site.flush(T0 + 5 * HOUR_MS + 60_000)
    found = final_rollups(site.batches())
    assert found[Window("d", "old", T0, 10_000)].count == 2  # corrected, not begun anew
    assert overflow(site, "d") == (1, 5.0)
    assert site.rooms.names.find_series(SeriesName(0, "old")) == 0
    site.close()


@pytest.mark.parametrize("restarts", [False, True])
def test_weeks_of_churn_leave_nothing_behind(tmp_path: Path, *, restarts: bool) -> None:
    quotas = QuotaConfig(series=40, expiry_h=6.0)
    bounds = {"journal_file_bytes": 1 << 16, "journal_age_s": 86_400.0, "allowed_lateness_s": 3600.0}
    site = bench(tmp_path, quotas, max_series=100, **bounds)
    for step in range(21 * 4):
        now = T0 + step * 6 * HOUR_MS
        fresh = {f"made_up_{step}_{number}": float(number) for number in range(30)}
        for burst in range(3):
            site.take([reading("bad", now + burst, **fresh), reading("good", now + burst, a=1, b=2)], now)
            site.flush(now + burst)
        if restarts and step % 20 == 19:
            site.restart()
    names = site.rooms.names
    known = [name for name in names.series if name.metric]
    assert names.places.total <= 44
    assert len(known) <= 300  # of more than 2,500 that there were: what the journal still holds
    assert len([name for name in names.metrics if name.metric]) <= 300
    assert sum(len(shape.series) for shape in site.rooms.tables.shapes.values()) <= 300
    with apsw.Connection(str(tmp_path / "edge" / "state.db")) as db:
        assert db.execute("SELECT count(*) FROM series").fetchone()[0] <= 300
    totals = site.rooms.ledger.totals
    assert (totals.rejected, totals.unaccounted()) == ({}, 0)
    assert final_rollups(site.batches()).keys() >= {Window("good", "a", now - now % 10_000 - 6 * HOUR_MS, 10_000)}
    site.close()


def test_a_flood_of_names_does_not_push_the_shapes_of_others_out(tmp_path: Path) -> None:
    site = bench(tmp_path, QuotaConfig(series=10))
    site.take([reading("good", T0, a=1, b=2)], T0)
    (mine,) = site.rooms.tables.shapes
    for step in range(6):
        site.take([reading("bad", T0, **{f"n{step}_{m}_{k}": 1.0 for k in range(100)}) for m in range(100)], T0)
    assert mine in site.rooms.tables.shapes
    assert sum(len(shape.series) for shape in site.rooms.tables.shapes.values()) <= 51_000
    site.close()
