"""After a crash nothing is counted twice or forgotten; what the disk has lost is counted as lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from edge_aggregator.config import MetricConfig
from edge_aggregator.status import StatusError, status, totals
from edge_aggregator.storage import Storage, StorageFailedError
from ingest.contract.ledger import ClassCounts
from tests.edge_bench import (
    T0,
    Bench,
    Sample,
    check_ledger,
    edge_config,
    final_rollups,
    message,
    naive_rollups,
    state,
    telemetry,
)


def opened(folder: Path, **changes: Any) -> Bench:
    return Bench(edge_config(folder, **({"heartbeat_s": 3600.0} | changes)))


def minute(bench: Bench, first: int = 0, seconds: int = 60) -> list[Sample]:
    """One sample a second, each in a block of its own."""
    samples = [Sample("d", "m", T0 + s * 1000, float(s)) for s in range(first, first + seconds)]
    for sample in samples:
        bench.take([message(sample)], sample.ts)
    return samples


def harm(folder: Path, what: str) -> None:
    db = apsw.Connection(str(min((folder / "edge" / "journal").glob("journal-*.db"))))
    db.execute(what)
    db.close()


def test_what_was_not_flushed_is_taken_again(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    sent = minute(bench)
    bench.restart()
    bench.restart()
    bench.flush(T0 + 59_000)
    bench.restart()
    bench.flush(T0 + 1_000_000)
    assert final_rollups(bench.batches()) == naive_rollups(sent, {}, 10_000)
    assert bench.rooms.ledger.totals.received == 60
    check_ledger(bench.batches())
    bench.close()


@pytest.mark.parametrize("flushed", [False, True], ids=["not yet processed", "in an open window"])
def test_a_damaged_block_is_counted_as_lost(tmp_path: Path, *, flushed: bool) -> None:
    bench = opened(tmp_path)
    sent = minute(bench, seconds=5)
    if flushed:
        bench.flush(T0 + 5000)
    bench.close()
    harm(tmp_path, "UPDATE sealed SET content = zeroblob(30) WHERE position = 3")
    bench.open()
    bench.flush(T0 + 1_000_000)
    kept = [sample for sample in sent if sample.value != 2.0]
    assert final_rollups(bench.batches()) == naive_rollups(kept, {}, 10_000)
    account = bench.rooms.ledger.totals
    assert (account.received, account.rolled_up, account.dropped) == (5, 4, {"corrupt_block": 1})
    assert account.unaccounted() == 0
    # A correction of that window would replace what the centre has by less: the late sample is lost as well.
    bench.take([message(Sample("d", "m", T0 + 20_000, 1.0)), message(Sample("d", "m", T0 + 500, 1.0))], T0 + 20_000)
    bench.flush(T0 + 20_000)
    assert bench.rooms.ledger.totals.dropped == {"corrupt_block": 2}
    assert bench.rooms.ledger.totals.unaccounted() == 0
    bench.close()


def test_damage_under_a_window_in_disorder_is_counted(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    for number, ts in enumerate((T0 + 2000, T0 + 1000, T0 + 3000, T0 + 3000)):
        bench.take([message(Sample("d", "m", ts, float(number)))], T0 + 3000)
    harm(tmp_path, "UPDATE sealed SET content = zeroblob(30) WHERE position = 1")
    bench.flush(T0 + 1_000_000)
    account = bench.rooms.ledger.totals
    assert (account.rolled_up, account.duplicate, account.dropped) == (2, 1, {"corrupt_block": 1})
    assert account.unaccounted() == 0
    bench.close()


def test_a_lost_journal_leaves_a_balanced_account(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    minute(bench)
    bench.flush(T0 + 59_000)
    open_samples = bench.rooms.ledger.totals.open
    bench.close()
    for file in (tmp_path / "edge" / "journal").iterdir():
        file.unlink()
    bench.open()
    assert bench.rooms.ledger.totals.dropped == {"corrupt_block": open_samples}
    minute(bench, first=60)
    bench.flush(T0 + 1_000_000)
    assert bench.rooms.ledger.totals.received == 120
    assert bench.rooms.ledger.totals.unaccounted() == 0
    check_ledger(bench.batches())
    bench.close()


def described(folder: Path) -> Bench:
    bench = opened(folder)
    bench.take([state("d", hardware="rev-a"), state("e", hardware="rev-b"), state("f")], T0)
    for number, device in enumerate("ddeedf"):
        bench.take([message(Sample(device, "m", T0 + number * 1000, 1.0))], T0 + number * 1000)
    return bench


@pytest.mark.parametrize("flushed", [False, True], ids=["not yet processed", "in an open window"])
def test_what_is_lost_is_of_a_class_as_far_as_it_is_known(tmp_path: Path, *, flushed: bool) -> None:
    bench = described(tmp_path)
    if flushed:
        bench.flush(T0 + 5000)
    bench.close()
    harm(tmp_path, "UPDATE sealed SET content = zeroblob(30) WHERE position IN (3, 5)")
    bench.open()
    bench.flush(T0 + 1_000_000)
    classes = bench.batches()[-1].ledger.classes
    assert {name: (counts.received, counts.dropped) for name, counts in classes.items()} == (
        {"": (1, 0), "rev-a": (3, 1), "rev-b": (2, 1)} if flushed else {"": (3, 2), "rev-a": (2, 0), "rev-b": (1, 0)}
    )
    assert all(batch.ledger.balances() for batch in bench.batches())
    bench.close()


def test_an_account_of_an_earlier_version_goes_on_by_class(tmp_path: Path) -> None:
    bench = described(tmp_path)
    bench.take([message(Sample("e", "m", T0 + 30_000, 1.0))], T0 + 30_000)
    bench.flush(T0 + 30_000)
    before = msgspec.structs.replace(bench.rooms.saved, account={})
    with bench.rooms.state.transaction():
        bench.rooms.state.save_progress(before)
    bench.restart()
    # What had not been rolled up is of its class, what was before is of nobody known.
    totals = bench.rooms.ledger.totals
    assert bench.rooms.ledger.account.classes(totals.counts()) == {
        "": ClassCounts(3, 2, 0, 0, 0, 1),
        "rev-a": ClassCounts(3, 0, 0, 0, 0, 3),
        "rev-b": ClassCounts(1, 0, 0, 0, 0, 1),
    }
    bench.rooms.room.configure(most_bytes=0)
    bench.flush(T0 + 1_000_000)
    totals = bench.rooms.ledger.totals
    assert totals.dropped == {"outbox_full": 7}
    classes = bench.rooms.ledger.account.classes(totals.counts())
    assert {name: (counts.received, counts.dropped) for name, counts in classes.items()} == {
        "": (1, 1),
        "rev-a": (3, 3),
        "rev-b": (3, 3),
    }
    bench.close()


def test_too_old_is_refused_and_late_is_corrected(tmp_path: Path) -> None:
    bench = opened(tmp_path, allowed_lateness_s=20.0, journal_age_s=20.0)
    sent = minute(bench)
    bench.flush(T0 + 59_000)
    late = [Sample("d", "m", T0 + 35_500, 7.0), Sample("d", "m", T0 + 45_500, 8.0)]
    for sample in [*late, Sample("d", "m", T0 + 25_500, 9.0)]:
        bench.take([message(sample)], T0 + 59_000)
    bench.flush(T0 + 1_000_000)
    assert final_rollups(bench.batches()) == naive_rollups([*sent, *late], {}, 10_000)
    account = bench.rooms.ledger.totals
    assert (account.received, account.rolled_up, account.rejected) == (63, 62, {"too_old": 1})
    bench.close()


def test_a_repetition_makes_no_revision(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    sent = minute(bench)
    bench.flush(T0 + 59_000)
    batches = len(bench.batches())
    bench.take([message(sample) for sample in sent[:30]], T0 + 59_000)
    bench.flush(T0 + 59_000)
    assert len(bench.batches()) == batches
    assert bench.rooms.ledger.totals.duplicate == 30
    bench.close()


def test_one_wrong_clock_makes_nobody_late(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    bench.take([telemetry("d", {"ts": T0 + 10**9, "metrics": {"m": -1}})], T0)
    sent = [Sample("d", "m", T0, -1.0), *minute(bench, first=1)]
    bench.flush(T0 + 1_000_000)
    assert final_rollups(bench.batches()) == naive_rollups(sent, {}, 10_000)
    assert all(batch.column("revision").max() == 0 for batch in bench.batches())
    bench.close()


def test_a_journal_without_room_closes_windows_before_it_forgets(tmp_path: Path) -> None:
    wide = {"window_s": 86_400.0, "journal_file_bytes": 64 * 1024, "journal_bytes": 256 * 1024, "max_series": 10_000}
    bench = opened(tmp_path, **wide)
    sent = []
    for number in range(60):
        samples = [Sample("d", f"m{metric}", T0 + number * 1000, number / 7 + metric / 3) for metric in range(1000)]
        payload = {"ts": T0 + number * 1000, "metrics": {sample.metric: sample.value for sample in samples}}
        bench.take([telemetry("d", payload)], T0 + number * 1000)
        sent += samples
        bench.flush(T0 + number * 1000)
        assert bench.rooms.journal.folder.bytes() < 5 * 1024 * 1024  # the write-ahead log of the newest file included
    assert len(bench.rooms.journal.folder.firsts) <= 5
    bench.restart()
    bench.flush(T0 + 10**9)
    account = bench.rooms.ledger.totals
    assert (account.received, account.open, account.unaccounted()) == (60_000, 0, 0)
    stored = sum(numbers.count for numbers in final_rollups(bench.batches()).values())
    assert account.rolled_up == stored > 0
    assert account.dropped == {"journal_evicted": 60_000 - stored}
    check_ledger(bench.batches())
    bench.close()


def test_an_evicted_file_that_a_power_cut_brings_back_goes_again(tmp_path: Path) -> None:
    bench = opened(tmp_path, journal_file_bytes=64 * 1024, journal_age_s=60.0, allowed_lateness_s=60.0)
    minute(bench, seconds=60)
    oldest = min((tmp_path / "edge" / "journal").glob("journal-*.db"))
    kept = oldest.read_bytes()
    for first in range(60, 240, 20):
        minute(bench, first=first, seconds=20)
        bench.flush(T0 + (first + 20) * 1000)
    assert not oldest.exists()
    assert bench.rooms.saved.kept_from > 2
    oldest.write_bytes(kept)  # others that went with it stay away: there seems to be a hole
    bench.restart()
    assert not oldest.exists()
    again = Sample("d", "m", T0 + 225_000, 225.0)
    bench.take([message(again)], T0 + 240_000)
    bench.flush(T0 + 1_000_000)
    assert bench.rooms.journal.quarantined == 0
    assert (bench.rooms.ledger.totals.dropped, bench.rooms.ledger.totals.duplicate) == ({}, 1)
    bench.close()


def test_another_width_takes_effect_where_both_begin(tmp_path: Path) -> None:
    bench = opened(tmp_path)
    sent = minute(bench, seconds=25)
    bench.flush(T0 + 25_000)
    bench.close()
    bench.config = edge_config(tmp_path, heartbeat_s=3600.0, metrics=[MetricConfig(metric="m", width_s=15.0)])
    bench.open()
    sent += minute(bench, first=25, seconds=50)
    bench.flush(T0 + 26_000)
    bench.restart()
    bench.flush(T0 + 1_000_000)
    found = final_rollups(bench.batches())
    spans = sorted((window.start - T0, window.width) for window in found)
    both = next(s for s in range(30, 99, 10) if (T0 // 1000 + s) % 15 == 0)
    old = [(start, 10_000) for start in range(0, both * 1000, 10_000)]
    new = [(start, 15_000) for start in range(both * 1000, 75_000, 15_000)]
    assert spans == old + new
    assert sum(numbers.count for numbers in found.values()) == len(sent)
    bench.close()


def test_a_newer_program_s_state_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path).close()
    db = Storage().open(tmp_path / "edge" / "state.db", "", checksums=True)
    db.pragma("user_version", 99)
    db.close()
    with pytest.raises(StorageFailedError, match="version 99"):
        opened(tmp_path)


def test_status_reads_the_account_while_the_gateway_runs(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="does not exist"):
        status(tmp_path / "edge")
    bench = opened(tmp_path)
    assert totals(tmp_path / "edge").received == 0
    minute(bench)
    bench.take([telemetry("d", b"{")], T0)
    bench.flush(T0 + 59_000)
    found = status(tmp_path / "edge")
    assert found.totals == bench.rooms.ledger.totals
    assert (found.totals.received, found.totals.rejected, found.balanced) == (61, {"malformed": 1}, True)
    assert (found.boot, found.seq, found.devices, found.series) == (bench.rooms.state.boot, 1, 1, 1)
    assert found.outbox_records == len(bench.waiting()) > 0
    assert found.oldest_unsent == T0 + 59_000
    assert found.journal_bytes > 0
    bench.close()
