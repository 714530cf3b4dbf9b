"""What the journal promises of places and bounds: defaults, blocks that changed places, a start that reads what was open."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from edge_aggregator.journal.block import LostBlock
from edge_aggregator.journal.file import JournalFile
from edge_aggregator.rooms import age_of
from tests.edge_bench import T0, Bench, Sample, edge_config, message
from tests.unit.test_edge_journal_keys import OLD, write_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge_aggregator.journal.block import Block, Numbers

PLACES = {"in one file": (2, 3), "between files": (2, -2)}
COLUMNS = "min_ts, max_ts, samples, received, before, taken, key, head, content"


def test_the_bounds_that_nobody_sets_are_the_promised_ones(tmp_path: Path) -> None:
    config = edge_config(tmp_path)
    assert config.journal_file_bytes == 64 << 20
    assert (config.commit_interval_s, config.commit_samples) == (0.1, 65_536)
    assert (config.journal_bytes, age_of(config)) == (2 << 30, 3 * 86_400_000)


def filled(folder: Path, seconds: int, **changes: Any) -> Bench:
    """Five devices, a commit a second, a flush every five; the last windows are open."""
    bench = Bench(edge_config(folder, heartbeat_s=3600.0, journal_merge_s=0.0, journal_file_bytes=64 * 1024, **changes))
    for second in range(seconds):
        at = T0 + second * 1000
        bench.take([message(Sample(f"d{number}", "m", at, second / 7)) for number in range(5)], at)
        if second % 5 == 4:
            bench.flush(at)
    return bench


def swap(folder: Path, first: int, second: int) -> tuple[int, int]:
    """Let two blocks change places, all that stands in their rows included; negative: counted from the newest."""
    paths = sorted((folder / "edge" / "journal").glob("journal-*.db"))
    one, other = paths[0], paths[-1] if second < 0 else paths[0]
    rows = [_row(one, first), _row(other, second)]
    _put(one, rows[0][0], rows[1][1:])
    _put(other, rows[1][0], rows[0][1:])
    return rows[0][0], rows[1][0]


def _row(path: Path, number: int) -> tuple[Any, ...]:
    db = apsw.Connection(str(path))
    order, offset = ("DESC", -number) if number < 0 else ("ASC", number)
    query = f"SELECT position, {COLUMNS} FROM sealed ORDER BY position {order} LIMIT 1 OFFSET ?"  # noqa: S608 - constants
    found = db.execute(query, (offset,)).fetchone()
    db.close()
    assert found
    return found


def _put(path: Path, position: int, values: tuple[Any, ...]) -> None:
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM sealed WHERE position = ?", (position,))
    marks = ", ".join("?" * len(values))
    insert = f"INSERT INTO sealed (position, last, {COLUMNS}) VALUES (?, ?, {marks})"  # noqa: S608 - constants
    db.execute(insert, (position, position, *values))
    db.close()


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
def test_blocks_that_changed_places_are_both_lost_and_no_other(
    tmp_path: Path, places: tuple[int, int], *, sealed: bool
) -> None:
    keys = {"journal_key_file": write_keys(tmp_path, OLD)} if sealed else {}
    bench = filled(tmp_path, 300, **keys)
    assert len(bench.rooms.journal.folder.firsts) > 1
    bench.close()
    swapped = swap(tmp_path, *places)
    bench = filled(tmp_path, 0, **keys)
    found = bench.rooms.journal.read(1, 300)
    lost = [
        range(block.position, max(block.position, block.last) + 1) for block in found if isinstance(block, LostBlock)
    ]
    assert {*itertools.chain(*lost)} == set(swapped)
    bench.close()


def test_a_start_reads_what_was_open_however_much_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    original = JournalFile.read

    def counted(file: JournalFile, blocks: Iterable[Numbers]) -> Iterator[Block | LostBlock]:
        for block in original(file, blocks):
            reads.append(block.position)
            yield block

    monkeypatch.setattr(JournalFile, "read", counted)
    needed, files = [], []
    for seconds in (60, 600):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        bench = filled(folder, seconds)
        files.append(len(bench.rooms.journal.folder.firsts))
        bench.close()
        reads.clear()
        bench = filled(folder, 0)
        needed.append(len(reads))
        assert all(one < another for one, another in itertools.pairwise(reads))
        assert list(bench.rooms.journal.folder._open) == bench.rooms.journal.folder.firsts[-1:]
        bench.close()
    assert needed[0] == needed[1] <= 10
    assert files[0] < files[1]
