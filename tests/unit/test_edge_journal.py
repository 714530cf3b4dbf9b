"""The journal: what was committed is there after a restart, damage is told and contained, the past is bounded."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import apsw
import numpy as np
import pytest

from edge_aggregator.decode.decoded import Decoded, Notes, Samples, StateMessage
from edge_aggregator.journal.block import Block, LostBlock
from edge_aggregator.journal.eviction import Bounds, plan, pressed
from edge_aggregator.journal.journal import Journal
from edge_aggregator.lock import FolderLock
from edge_aggregator.names import Names, SeriesName
from edge_aggregator.storage import Storage, StorageFailedError
from edge_aggregator.widths import Widths
from tests.edge_bench import T0

FILE_BYTES = 128 * 1024


def new_names() -> Names:
    return Names(Widths(10_000), max_devices=1000, max_series=10_000)


def fill(names: Names, seed: int, samples: int = 1000) -> Decoded:
    """A block that does not compress, of ten series of one device of its own."""
    device = names.device_id(f"device-{seed}") or 0
    series = [names.series_id(SeriesName(device, f"m{number}")) or 0 for number in range(10)]
    rng = np.random.default_rng(seed)
    columns = Samples(
        np.sort(rng.choice(series, samples)).astype(np.int64),
        T0 + seed * 1000 + np.arange(samples, dtype=np.int64),
        rng.normal(size=samples),
    )
    return Decoded(columns, Notes(taken=T0 + seed * 1000, rejected={"malformed": 2}, heard=[device]))


def opened(folder: Path, processed: int = 0) -> Journal:
    journal = Journal(folder, Storage(), file_bytes=FILE_BYTES)
    journal.open(processed, 0)
    return journal


def filled(folder: Path, blocks: int) -> list[Decoded]:
    names = new_names()
    journal = opened(folder)
    written = [fill(names, seed) for seed in range(blocks)]
    assert [journal.append(decoded, names) for decoded in written] == list(range(1, blocks + 1))
    journal.close()
    return written


def same(block: Block | LostBlock, decoded: Decoded) -> bool:
    assert isinstance(block, Block), block
    columns = zip(block.samples, decoded.samples, strict=True)
    return all(np.array_equal(mine, theirs) for mine, theirs in columns) and block.notes == decoded.notes


def harm(path: Path, what: str) -> None:
    db = apsw.Connection(str(path))
    db.execute(what)
    db.close()


def test_blocks_come_back_in_order_over_files_and_restarts(tmp_path: Path) -> None:
    written = filled(tmp_path, 40)
    journal = opened(tmp_path)
    assert len(journal.folder.firsts) > 3
    assert all(journal.folder.path_of(first).stat().st_size <= FILE_BYTES for first in journal.folder.firsts)
    blocks = list(journal.read(1, journal.last_position))
    assert all(same(block, decoded) for block, decoded in zip(blocks, written, strict=True))
    assert [block.position for block in journal.read(7, 9)] == [7, 8, 9]
    found = journal.overlapping([(T0 + 5500, T0 + 6500), (T0 + 6500, T0 + 6501)], 6)
    assert [block.position for block in found] == [6]


def test_positions_go_on_where_they_were(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    names = new_names()
    journal = opened(tmp_path)
    assert journal.append(fill(names, 9), names) == 4
    journal.close()
    # The checkpoint has seen more than the journal holds: somebody removed files.
    assert opened(tmp_path, processed=100).append(fill(names, 9), names) == 101


def test_every_file_names_what_occurs_in_it(tmp_path: Path) -> None:
    filled(tmp_path, 40)
    written = new_names()
    for seed in range(40):
        fill(written, seed)
    journal = opened(tmp_path)
    first = journal.folder.firsts[-1]
    names = new_names()
    for block in journal.read(first, 40):
        assert isinstance(block, Block)
        block.names.teach(names)
    assert [name for name in names.devices if name] == written.devices[first - 1 :]
    known = {(name.metric, names.devices[name.device]) for name in names.series if name.metric}
    assert known == {(f"m{m}", device) for m in range(10) for device in written.devices[first - 1 :]}


def test_a_start_opens_only_what_is_needed(tmp_path: Path) -> None:
    filled(tmp_path, 40)
    journal = opened(tmp_path, processed=40)
    assert list(journal.folder._open) == [journal.folder.firsts[-1]]


def test_a_flipped_bit_loses_one_block_and_says_so(tmp_path: Path) -> None:
    written = filled(tmp_path, 5)
    path = next(tmp_path.glob("journal-*.db"))
    harm(path, "UPDATE sealed SET content = substr(content, 1, 99) || x'00' || substr(content, 101) WHERE position = 2")
    harm(path, "UPDATE sealed SET content = x'' WHERE position = 3")
    harm(path, "UPDATE sealed SET samples = samples + 1 WHERE position = 4")
    for _ in range(2):
        journal = opened(tmp_path)
        blocks = list(journal.read(1, 5))
        assert same(blocks[0], written[0])
        assert same(blocks[4], written[4])
        lost = [block for block in blocks if isinstance(block, LostBlock)]
        assert [(block.position, block.last, block.received) for block in lost] == [
            (2, 2, 1002),
            (3, 3, 1002),
            (4, 4, None),
        ]
        assert isinstance(blocks[4], Block)
        assert blocks[4].before() == 4 * 1002  # so one knows how many the lost ones had
        assert journal.received == 5 * 1002
        journal.close()
    # What cannot be opened once stays lost, and is news once.
    harm(path, "UPDATE sealed SET content = zeroblob(30) WHERE position = 2")
    journal = opened(tmp_path)
    assert isinstance(next(journal.read(2, 2)), LostBlock)
    assert journal.quarantined == 0
    # A file that has lost something takes nothing more.
    assert journal.folder.firsts == [1, 6]


def test_swapped_blocks_are_noticed(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = next(tmp_path.glob("journal-*.db"))
    harm(path, "UPDATE sealed SET position = 9, last = 9 WHERE position = 1")
    found = list(opened(tmp_path).read(1, 2))
    assert [isinstance(block, LostBlock) for block in found] == [True, False]


def test_a_file_of_rubbish_is_left_alone_and_what_it_held_is_known(tmp_path: Path) -> None:
    written = filled(tmp_path, 40)
    newest = max(tmp_path.glob("journal-*.db"))
    newest.write_bytes(b"rubbish" * 1000)
    first = int(newest.stem.removeprefix("journal-"))
    names = new_names()
    journal = opened(tmp_path)
    assert (journal.last_position, journal.received) == (40, 40 * 1002)
    assert journal.append(fill(names, 99), names) == 41
    *blocks, lost, new = journal.read(1, 41)
    assert all(same(block, decoded) for block, decoded in zip(blocks, written[: first - 1], strict=True))
    assert isinstance(lost, LostBlock)
    assert (lost.position, lost.last) == (first, 40)
    assert new.before() == 40 * 1002
    assert newest.read_bytes() == b"rubbish" * 1000


@pytest.mark.parametrize("what", ["rubbish", "empty", "gone"])
def test_an_old_file_that_is_lost_hides_no_other(tmp_path: Path, what: str) -> None:
    filled(tmp_path, 40)
    files = sorted(tmp_path.glob("journal-*.db"))
    first, after = (int(file.stem.removeprefix("journal-")) for file in files[1:3])
    if what == "gone":
        files[1].unlink()
    else:
        files[1].write_bytes(b"rubbish" * 1000 if what == "rubbish" else b"")
    blocks = list(opened(tmp_path).read(1, 40))
    [lost] = [block for block in blocks if isinstance(block, LostBlock)]
    assert (lost.position, lost.last) == (first, after - 1)
    found = list(opened(tmp_path).overlapping([(T0 + 39_000, T0 + 40_000)], 40))
    assert [type(block) for block in found] == [LostBlock, Block]


def test_a_write_ahead_log_cut_short_is_noticed(tmp_path: Path) -> None:
    names = new_names()
    journal = opened(tmp_path / "a")
    for seed in range(5):
        journal.append(fill(names, seed), names)
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # as a crash leaves it
    journal.close()
    log = next((tmp_path / "b").glob("*.db-wal"))
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    journal = opened(tmp_path / "b")
    assert (journal.last_position, journal.received) == (5, 5 * 1002)
    kinds = [type(block) for block in journal.read(1, 5)]
    assert kinds[-1] is LostBlock
    assert Block in kinds
    assert journal.append(fill(names, 9), names) == 6


def test_a_file_takes_no_more_than_its_share_of_time(tmp_path: Path) -> None:
    names = new_names()
    journal = Journal(tmp_path, Storage(), file_bytes=1 << 30, file_ms=5000)
    journal.open(0, 0)
    for seed in range(20):  # one a second
        journal.append(fill(names, seed, samples=10), names)
    assert journal.folder.firsts == [1, 7, 13, 19]
    journal.close()


def test_eviction_is_oldest_first_and_spares_what_is_needed(tmp_path: Path) -> None:
    filled(tmp_path, 40)
    journal = opened(tmp_path)
    folder, now = journal.folder, T0 + 40_000
    size, firsts = folder.bytes(), list(folder.firsts)
    bounds = Bounds(max_bytes=size - 1, max_age_ms=10**9)
    assert plan(folder, Bounds(size, 10**9), now, 1000).files == []
    assert plan(folder, bounds, now, 1).files == []
    assert pressed(folder, bounds) == firsts[1] - 1
    eviction = plan(folder, bounds, now, 1000)
    assert eviction.files == firsts[:1]
    assert eviction.newest_ts == T0 + (firsts[1] - 2) * 1000 + 999
    journal.remove(eviction)
    assert folder.firsts == firsts[1:]
    assert not folder.path_of(firsts[0]).exists()
    aged = plan(folder, Bounds(size, 10_000), now, 1000)
    assert aged.files == [first for first, after in itertools.pairwise(firsts[1:]) if after - 1 <= 30]
    assert plan(folder, Bounds(0, 0), now, 1000).files == firsts[1:-1]  # the newest stays


def test_notes_travel_with_the_block(tmp_path: Path) -> None:
    names = new_names()
    device = names.device_id("pump") or 0
    nothing = Samples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    notes = Notes(taken=T0, messages=[StateMessage(device, T0, False, "online", "1.0")], heard=[device])
    journal = opened(tmp_path)
    journal.append(Decoded(nothing, notes), names)
    journal.close()
    fresh = new_names()
    [block] = opened(tmp_path).read(1, 1)
    assert isinstance(block, Block)
    block.names.teach(fresh)
    assert block.notes == notes
    assert fresh.devices == ["pump"]


def test_one_process_per_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, Storage())
    with pytest.raises(StorageFailedError, match="in use by another edge aggregator"):
        FolderLock(tmp_path, Storage())
    lock.release()
    FolderLock(tmp_path, Storage()).release()


def test_commits_are_synced_whatever_sqlite_was_built_with(tmp_path: Path) -> None:
    db = Storage().open(tmp_path / "a.db", "CREATE TABLE IF NOT EXISTS t (a)")
    assert (db.pragma("journal_mode"), db.pragma("synchronous")) == ("wal", 2)
    db.close()


def test_sqlite_is_the_one_that_is_asked_for() -> None:
    # Before it, a write-ahead log could lose a commit after a reset with two connections. The crash engine runs on it too.
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)
