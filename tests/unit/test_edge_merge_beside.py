"""The journal is packed beside the commits: what happens between reading a run and writing its row harms neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_aggregator.journal.block import Block
from edge_aggregator.journal.eviction import Eviction
from edge_aggregator.journal.journal import Journal
from edge_aggregator.journal.merge import Merging
from edge_aggregator.storage import Storage
from tests.edge_bench import T0
from tests.unit.test_edge_journal import FILE_BYTES, fill, new_names

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.journal.merger import Merge
    from edge_aggregator.names import Names

LATER = T0 + 1_000_000


@pytest.fixture
def names() -> Names:
    return new_names()


@pytest.fixture
def journal(tmp_path: Path, names: Names) -> Journal:
    merging = Merging(samples=64, span_ms=0)
    journal = Journal(tmp_path, Storage(), file_bytes=FILE_BYTES, merging=merging)
    journal.open(0, 0)
    for seed in range(6):
        journal.append(fill(names, seed, samples=10), names)
    return journal


def begun(journal: Journal) -> Merge:
    merge = journal.begin_merge(journal.last_position, LATER)
    assert merge is not None
    return merge


def content(journal: Journal) -> list[tuple[int, int, float]]:
    """All samples, in no order."""
    blocks = list(journal.read(1, journal.last_position))
    assert all(isinstance(block, Block) for block in blocks)
    columns = [
        np.concatenate(column) for column in zip(*(b.samples for b in blocks if isinstance(b, Block)), strict=True)
    ]
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_commits_go_on_while_a_run_is_packed(journal: Journal, names: Names) -> None:
    merge = begun(journal)
    journal.append(fill(names, 6, samples=10), names)
    row, before = merge.packed(), content(journal)
    journal.end_merge(merge, row)
    assert content(journal) == before
    assert len(list(journal.read(1, journal.last_position))) < 7


def test_what_was_evicted_meanwhile_does_not_come_back(journal: Journal, names: Names) -> None:
    merge = begun(journal)
    row, first = merge.packed(), journal.folder.firsts[0]
    number = 6
    while len(journal.folder.firsts) == 1:
        journal.append(fill(names, number), names)
        number += 1
    journal.remove(Eviction([first], 0))
    journal.end_merge(merge, row)
    assert first not in journal.folder.firsts
    assert not journal.folder.path_of(first).exists()


def test_what_was_found_damaged_meanwhile_stays_so(journal: Journal) -> None:
    merge = begun(journal)
    index = journal.folder.index(1, 1)
    index.spoil([2])
    journal.end_merge(merge, merge.packed())
    assert len(index) == 6


def test_a_run_is_not_merged_twice(journal: Journal) -> None:
    merge = begun(journal)
    row = merge.packed()
    journal.end_merge(merge, row)
    after = content(journal)
    journal.end_merge(merge, row)
    assert content(journal) == after
