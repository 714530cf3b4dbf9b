"""Any order of arrival, any duplication, any blocks, flushes and restarts end in the same rollups, to the last bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.aspects import Aspects, Wish
from edge_aggregator.config import MetricConfig
from edge_aggregator.decode.decoded import Notes, Samples
from edge_aggregator.journal.block import Block, LostBlock
from edge_aggregator.names import Names, SeriesName
from edge_aggregator.widths import Widths
from edge_aggregator.windows.keys import Spans
from edge_aggregator.windows.recompute import Ground
from edge_aggregator.windows.settle import Past, settle
from edge_aggregator.windows.windows import Windows
from tests.edge_bench import (
    T0,
    Bench,
    Detail,
    Numbers,
    Sample,
    Window,
    check_ledger,
    details_of,
    edge_config,
    final_details,
    final_rollups,
    message,
    naive_details,
    naive_rollups,
)
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

WIDTHS = {"slow": 7000}
IDLE_MS = 5000
LATENESS_MS = 3_600_000
ASPECTS = Aspects(
    (
        ("slow", Wish(quantiles=True, early_ms=1000)),
        ("mode", Wish("state", quantiles=True)),
        ("hits_total", Wish(early_ms=3000)),
    ),
    reach_ms=0,
)
"""A reach of two windows, so that gaps within a story are longer than it."""

samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(["fast", "slow", "hits_total", "mode"]),
    ts=st.integers(0, 40).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 0.3, 1e16, -1e16, 3.5, 0.0]),
)


class Act(NamedTuple):
    """One commit, and what comes after it; `turn`: of the flush only a part."""

    samples: list[Sample]
    flush: bool
    idle: bool
    restart: bool
    turn: bool


acts = st.lists(
    st.builds(
        Act,
        samples=st.lists(samples, max_size=12),
        flush=st.booleans(),
        idle=st.booleans(),
        restart=st.booleans(),
        turn=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


class MemoryJournal:
    """Blocks in a list, for the pure part."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def overlapping(self, ranges: Iterable[tuple[int, int]], upto: int) -> Iterator[Block | LostBlock]:
        wanted = list(ranges)
        for block in self.blocks:
            ts = block.samples.ts
            if block.position <= upto and any(((ts >= start) & (ts < end)).any() for start, end in wanted):
                yield block


class PureEdge:
    """Windows and their settling alone."""

    def __init__(self, at_once: int, windows_at_once: int) -> None:
        self._at_once, self._windows_at_once = at_once, windows_at_once
        self.names = Names(Widths(10_000, (("slow", 7000),)), max_devices=9, max_series=99, aspects=ASPECTS)
        self.windows = Windows(self.names, lateness_ms=LATENESS_MS, idle_ms=IDLE_MS)
        self.journal = MemoryJournal()
        self.flushed = 0
        self.revisions: dict[tuple[int, ...], int] = {}
        self.final: dict[Window, Numbers] = {}
        self.details: dict[Window, list[Detail]] = {}
        self.rolled_up = self.duplicate = 0

    def take(self, taken: list[Sample]) -> None:
        found = [(self.series(sample), sample.ts, sample.value) for sample in taken]
        found.sort(key=lambda row: row[0])
        columns = list(zip(*found, strict=True)) or [(), (), ()]
        block = Samples(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], float))
        self.journal.blocks.append(Block(len(self.journal.blocks) + 1, block, Notes()))
        assert not self.windows.step(block, len(self.journal.blocks)).any()

    def series(self, sample: Sample) -> int:
        device = self.names.device_id(sample.device)
        assert device is not None
        series = self.names.series_id(SeriesName(device, sample.metric))
        assert series is not None
        return series

    def flush(self, now: int) -> None:
        while self.flush_turn(now):
            pass

    def flush_turn(self, now: int) -> bool:
        upto = len(self.journal.blocks)
        seen = np.zeros(len(self.names.devices), np.int64)
        closing = self.windows.close(now, seen, most=self._windows_at_once)
        past = Past(
            self.flushed, -1, self.windows.devices["lost_until"], self.highest, self.windows.tails, self.windows.told
        )
        settled = settle(closing, Ground(self.journal, upto, self.names, self._at_once), past)
        self.flushed = upto
        self.duplicate += settled.duplicate
        self.rolled_up += int(settled.rollups.net.sum())
        assert not settled.dropped
        by_row = details_of(settled.rollups.details)
        for place, row in enumerate(zip(*(column.tolist() for column in settled.rollups.columns()), strict=True)):
            series, start, width, *numbers, revision, _ = row
            key = (series, start, width)
            assert revision == self.revisions.get(key, -1) + 1
            self.revisions[key] = revision
            name = self.names.series[series]
            window = Window(self.names.devices[name.device], name.metric, start, width)
            self.final[window], self.details[window] = Numbers(*numbers), by_row.get(place, [])
        return closing.more

    def highest(self, spans: Spans) -> NDArray[np.int64]:
        keys = zip(*(column.tolist() for column in spans), strict=True)
        return np.array([self.revisions.get(key, 0) for key in keys], np.int64)


@settings(deadline=None)
@given(acts, st.sampled_from([1, 4, 500_000]), st.sampled_from([1, 3, 10_000]))
def test_rollups_are_those_of_the_naive_loop(story: list[Act], at_once: int, windows_at_once: int) -> None:
    edge = PureEdge(at_once, windows_at_once)
    for act in story:
        edge.take(act.samples)
        if act.flush:
            flush = edge.flush_turn if act.turn else edge.flush
            flush(T0 + (60_000 if act.idle else 0))
    edge.flush(T0 + 1_000_000)
    sent = [sample for act in story for sample in act.samples]
    expected = naive_rollups(sent, WIDTHS, 10_000)
    assert {window: numbers.bits() for window, numbers in edge.final.items()} == {
        window: numbers.bits() for window, numbers in expected.items()
    }
    assert {window: found for window, found in edge.details.items() if found} == naive_details(
        sent, WIDTHS, 10_000, ASPECTS
    )
    assert len(edge.windows.held) == 0
    distinct = sum(numbers.count for numbers in expected.values())
    assert (edge.rolled_up, edge.duplicate) == (distinct, len(sent) - distinct)
    assert edge.windows.samples() == 0


@settings(max_examples=examples(30), deadline=None)
@given(acts, st.sampled_from([1, 3, 10_000]))
def test_so_they_are_through_real_files_and_restarts(story: list[Act], windows_at_once: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = edge_config(
            Path(folder),
            metrics=[
                MetricConfig(metric="slow", width_s=7.0, quantiles=True, early_s=1.0),
                MetricConfig(metric="mode", kind="state", quantiles=True, early_s=3.0),
            ],
            idle_close_s=IDLE_MS / 1000,
            heartbeat_s=3600.0,
        )
        bench = Bench(config)
        for act in story:
            bench.rooms.windows_at_once = windows_at_once
            bench.take([message(sample) for sample in act.samples], T0 + 41_000)
            if act.flush:
                bench.flush(T0 + (60_000 if act.idle else 41_000), turn=act.turn)
            if act.restart:
                bench.restart()
        bench.flush(T0 + 1_000_000)
        batches = bench.batches()
        totals = bench.rooms.ledger.totals
        bench.close()
    sent = [sample for act in story for sample in act.samples]
    expected = naive_rollups(sent, WIDTHS, 10_000)
    found = final_rollups(batches)
    assert {w: n.bits() for w, n in found.items()} == {w: n.bits() for w, n in expected.items()}
    assert final_details(batches) == naive_details(sent, WIDTHS, 10_000, Aspects.from_config(config))
    check_ledger(batches)
    distinct = sum(numbers.count for numbers in expected.values())
    assert (totals.received, totals.rolled_up, totals.duplicate) == (len(sent), distinct, len(sent) - distinct)
    assert (totals.open, totals.unaccounted()) == (0, 0)
