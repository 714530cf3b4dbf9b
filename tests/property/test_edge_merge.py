"""Merging at any moment, with restarts between, changes no rollup, no correction and no account."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.decode.decoded import Notes, Samples
from edge_aggregator.journal.block import Block, Numbers
from edge_aggregator.journal.content import NewNames
from edge_aggregator.journal.index import Index
from edge_aggregator.journal.merge import Merging, merged
from ingest.contract.batch import Origin
from ingest.contract.batch_wire import encode_batch
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, message, telemetry
from tests.examples import examples

if TYPE_CHECKING:
    from edge_aggregator.ledger import Totals

SMALL: dict[str, Any] = {
    "window_s": 10.0,
    "allowed_lateness_s": 30.0,
    "idle_close_s": 8.0,
    "heartbeat_s": 3600.0,
    "journal_file_bytes": 64 * 1024,
    "journal_merge_samples": 16,
}


class Act(NamedTuple):
    """Some commits, and what comes after them."""

    commits: list[list[Sample]]
    garbage: bool
    flush: bool
    restart: bool


samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b", "c"]),
    metric=st.sampled_from(["m", "n"]),
    ts=st.integers(0, 70).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 3.5, -7.25]),
)
acts = st.lists(
    st.builds(
        Act,
        commits=st.lists(st.lists(samples, max_size=5), min_size=1, max_size=6),
        garbage=st.booleans(),
        flush=st.booleans(),
        restart=st.integers(0, 3).map(lambda number: number == 0),
    ),
    min_size=1,
    max_size=10,
)


def tell(folder: Path, story: list[Act], **changes: Any) -> tuple[list[bytes], Totals, int]:
    """What the outbox holds in the end without what names the boot, the account, and how many blocks were merged."""
    bench, now = Bench(edge_config(folder, **(SMALL | changes))), T0 + 20_000
    for act in story:
        for commit in act.commits:
            now += 700
            bench.take([message(sample) for sample in commit] + [telemetry("a", b"{")] * act.garbage, now)
        if act.flush:
            bench.flush(now)
        if act.restart:
            bench.restart()
    bench.flush(T0 + 10**9)
    batches, totals = bench.batches(), bench.rooms.ledger.totals
    check_ledger(batches)
    folder_of = bench.rooms.journal.folder
    rows = [folder_of.index(first, first).rows for first in folder_of.indexed()]
    count = sum(int((row["last"] > row["position"]).sum()) for row in rows)
    bench.close()
    nobody = Origin("", "", "", "")
    return [encode_batch(msgspec.structs.replace(batch, origin=nobody)) for batch in batches], totals, count


@settings(max_examples=examples(20), deadline=None)
@given(acts)
def test_merging_changes_nothing_that_anybody_sees(story: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        plain = tell(Path(one), story, journal_merge_s=0.0)
        dense = tell(Path(other), story, journal_merge_s=2.0)
    assert plain[:2] == dense[:2]
    assert plain[2] == 0


def test_a_story_in_which_blocks_are_merged() -> None:
    story = [
        Act(
            [[Sample(device, "m", T0 + step * 700, step / 7) for device in "abc"]],
            False,
            step % 3 == 2,
            step % 20 == 19,
        )
        for step in range(100)
    ]
    late = Act([[Sample("a", "m", T0 + step * 700 + 1, 9.0)] for step in range(50, 100)], True, True, True)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        plain = tell(Path(one), [*story, late], journal_merge_s=0.0)
        dense = tell(Path(other), [*story, late], journal_merge_s=5.0)
    assert plain[:2] == dense[:2]
    assert dense[2] > 10


blocks = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.floats(allow_nan=False)), max_size=6),
    min_size=1,
    max_size=6,
)


def block_of(number: int, rows: list[tuple[int, int, float]]) -> Block:
    columns = zip(*sorted(rows, key=lambda row: row[0]), strict=True) if rows else ((), (), ())
    series, ts, value = columns
    samples = Samples(np.array(series, np.int64), np.array(ts, np.int64), np.array(value, np.float64))
    notes = Notes(taken=1000 - number, rejected={"malformed": number}, heard=[number])
    return Block(number, samples, notes, names=NewNames([(number % 2, f"d{number % 2}")]))


@given(blocks)
def test_samples_stay_by_series_and_in_order_of_arrival(parts: list[list[tuple[int, int, float]]]) -> None:
    found = merged([block_of(number, rows) for number, rows in enumerate(parts)])
    expected = sorted((row for rows in parts for row in rows), key=lambda row: row[0])
    assert list(zip(*(column.tolist() for column in found.samples), strict=True)) == expected
    assert found.decoded().received() == len(expected) + sum(range(len(parts)))
    assert (found.notes.taken, found.notes.heard) == (1000, [])
    assert dict(found.names.devices) == {number % 2: f"d{number % 2}" for number in range(len(parts))}


rows_of_an_index = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 2)), max_size=20)


@given(drawn=rows_of_an_index, processed=st.integers(0, 60), ended=st.booleans())
def test_a_run_is_of_small_blocks_that_follow_each_other(
    drawn: list[tuple[int, int, int]], processed: int, *, ended: bool
) -> None:
    numbers, position, taken = [], 1, 0
    for gap, count, width in drawn:
        position, taken = position + (gap == 3), taken + 400
        numbers.append(Numbers(position, position + width, 0, 0, count, count, 0, taken, 0))
        position += width + 1
    merging = Merging(16, 2000)
    run = merging.run(Index(numbers), processed, ended=ended)
    if not run:
        return
    chosen = [numbers[row] for row in run]
    assert len(run) > 1
    assert run == list(range(run[0], run[-1] + 1))
    assert [block.position for block in chosen] == list(range(chosen[0].position, chosen[-1].position + 1))
    assert chosen[-1].last <= processed
    assert all(block.samples <= 8 and block.position == block.last for block in chosen)
    assert sum(block.samples for block in chosen) <= 16
