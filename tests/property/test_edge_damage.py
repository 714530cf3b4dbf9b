"""Damage anywhere in a gateway's files: it starts and accounts for what is lost, or says what is damaged and what to do.

Files are as a kill leaves them: write-ahead logs not folded in, blocks merged and not, some of them not processed yet.
"""

from __future__ import annotations

import os
import random
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from edge_aggregator.status import StatusError, status
from edge_aggregator.storage import StorageFailedError
from tests.edge_bench import (
    T0,
    Bench,
    Sample,
    edge_config,
    final_rollups,
    message,
    naive_rollups,
    rows,
    telemetry,
)
from tests.examples import examples

ROUNDS = int(os.environ.get("TIDEGATE_PROVE_ROUNDS", "1"))
FAR = T0 + 10**9
SETTINGS: dict[str, Any] = {
    "heartbeat_s": 3600.0,
    "allowed_lateness_s": 60.0,
    "journal_file_bytes": 64 * 1024,
    "journal_merge_s": 20.0,
    "journal_age_s": 1e7,
}
SECONDS = 240


@dataclass(frozen=True)
class Left:
    """What a killed gateway has left, and what it had acknowledged."""

    folder: Path
    samples: list[Sample] = field(repr=False)
    received: int


def fill(bench: Bench) -> Left:
    """Twenty series a second, some of them late, and a bad payload, which is kept until it is processed."""
    sent: list[Sample] = []
    for second in range(SECONDS):
        at = T0 + second * 1000
        noise = random.Random(second)
        fresh = [Sample(device, f"m{metric}", at, noise.random()) for device in "abcd" for metric in range(5)]
        late = [Sample("a", "m0", at - 25_500, 1.0)] if second % 30 == 29 else []
        bench.take([*map(message, fresh + late), telemetry("a", b"{" + noise.randbytes(300))], at)
        sent += fresh + late
        if second % 7 == 6:
            bench.flush(at)
    return Left(Path(), sent, len(sent) + SECONDS)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder, copy = tmp_path_factory.mktemp("running"), tmp_path_factory.mktemp("left")
    keys = folder / "keys"
    keys.write_text("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=" if request.param else "none")
    keys.chmod(0o600)
    bench = Bench(edge_config(folder, **SETTINGS, journal_key_file=str(keys)))
    told = fill(bench)
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    bench.close()
    return replace(told, folder=copy)


def reopened(folder: Path) -> Bench:
    return Bench(edge_config(folder, **SETTINGS, journal_key_file=str(folder / "keys")))


def harmed(data: bytes, kind: str, rng: random.Random) -> bytes:
    """Bytes with a bit flipped, a stretch zeroed or overwritten, or the end cut off."""
    at = rng.randrange(len(data))
    if kind == "flip":
        return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    until = min(len(data), at + rng.choice((1, 100, 4096, 20_000)))
    return data[:at] + (bytes(until - at) if kind == "zero" else rng.randbytes(until - at)) + data[until:]


def files_in(folder: Path) -> list[Path]:
    """What can be harmed, the smaller ones as often as the large ones."""
    found = [path for path in sorted((folder / "edge").rglob("*")) if path.is_file() and path.stat().st_size]
    return [path for path in found if not path.name.endswith("-shm")]  # written anew at each start


def check_account(bench: Bench, left: Left) -> int:
    """Everything that was acknowledged is accounted for; how many samples are lost."""
    bench.flush(FAR)
    totals, batches = bench.rooms.ledger.totals, bench.batches()
    assert totals.received == left.received
    assert (totals.open, totals.unaccounted()) == (0, 0)
    assert set(totals.dropped) <= {"corrupt_block"}
    expected = naive_rollups(left.samples, {}, 10_000)
    newest: dict[Any, tuple[int, int]] = {}
    for batch in batches:
        assert batch.ledger.unaccounted() == 0
        for revision, window, numbers in rows(batch):
            newest[window] = max(newest.get(window, (-1, 0)), (revision, numbers.count))
    assert sum(count for _, count in newest.values()) == totals.rolled_up
    assert all(count <= expected[window].count for window, (_, count) in newest.items())
    return sum(totals.dropped.values())


def test_files_are_as_a_kill_leaves_them(left: Left, tmp_path: Path) -> None:
    names = {path.name for path in files_in(left.folder)}
    assert {"state.db", "state.db-wal", "tally"} <= names
    assert sum(name.endswith(".db-wal") for name in names) >= 2
    assert sum(name.startswith("journal-") and name.endswith(".db") for name in names) > 1
    shutil.copytree(left.folder, tmp_path, dirs_exist_ok=True)
    bench = reopened(tmp_path)
    assert bench.rooms.saved.processed < bench.rooms.position
    assert any(block.last > block.position for block in bench.rooms.journal.read(1, bench.rooms.position))
    assert check_account(bench, left) == 0
    assert final_rollups(bench.batches()) == naive_rollups(left.samples, {}, 10_000)
    bench.close()


@settings(deadline=None, max_examples=examples(30) * ROUNDS)
@given(kind=st.sampled_from(["flip", "zero", "rubbish", "cut"]), seed=st.integers(0, 2**32))
def test_no_acknowledged_sample_is_unaccounted_for(
    left: Left, tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("harmed"), random.Random(seed)
    shutil.copytree(left.folder, folder, dirs_exist_ok=True)
    path = rng.choice(files_in(folder))
    path.write_bytes(harmed(path.read_bytes(), kind, rng))
    refusal, lost = "", 0
    with ExitStack() as until_refused:
        try:
            bench = reopened(folder)
            until_refused.callback(bench.close)
            lost = check_account(bench, left)
        except StorageFailedError as error:
            refusal = str(error)
    event(f"{path.name.split('-0')[0]}{path.suffix} {'refused' if refusal else 'lost' if lost else 'whole'}")
    if not refusal:
        _check_what_is_told(folder, path, lost)
    else:
        assert path.name.startswith("state.db"), refusal
        assert "state.db" in refusal
        assert "move state.db, state.db-wal and state.db-shm to another folder and start again" in refusal
        _check_the_advice(folder, left)
    shutil.rmtree(folder)


def _check_what_is_told(folder: Path, harmed_file: Path, lost: int) -> None:
    unread = ""
    try:
        told = status(folder / "edge").lost_blocks
    except StatusError as error:  # a part of the state that this gateway has not looked at since it started
        unread, told = str(error), []
    assert not unread or (harmed_file.name.startswith("state.db") and "state.db cannot be read" in unread)
    assert not lost or told or unread


def _check_the_advice(folder: Path, left: Left) -> None:
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (folder / "edge" / name).unlink(missing_ok=True)
    bench = reopened(folder)
    assert check_account(bench, left) == 0
    assert final_rollups(bench.batches()) == naive_rollups(left.samples, {}, 10_000)
    bench.close()


@pytest.mark.parametrize("which", ["newest", "oldest", "all"])
def test_whole_files_that_are_gone_are_counted(left: Left, tmp_path: Path, which: str) -> None:
    shutil.copytree(left.folder, tmp_path, dirs_exist_ok=True)
    files = sorted((tmp_path / "edge" / "journal").glob("journal-*.db"))
    for file in {"newest": files[-1:], "oldest": files[:1], "all": files}[which]:
        for path in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
    bench = reopened(tmp_path)
    assert (check_account(bench, left) > 0) == (which != "oldest")
    bench.close()
