"""Widths that change at any time: windows tile time, each sample is in one of them, whatever comes late or starts anew."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.aspects import Aspects
from edge_aggregator.config import MetricConfig
from edge_aggregator.resolution.past_widths import PastWidth, PastWidths
from tests.edge_bench import (
    T0,
    Bench,
    Detail,
    Numbers,
    Sample,
    Window,
    check_ledger,
    edge_config,
    final_details,
    final_rollups,
    message,
    naive_details,
    naive_rollups,
)
from tests.examples import examples

METRICS = ["m", "hits_total", "mode"]
ASKED = [MetricConfig(metric="mode", kind="state", quantiles=True), MetricConfig(metric="m", early_s=2.0)]
WIDTHS = (1000, 5000, 10_000, 15_000)


class Act(NamedTuple):
    """One commit; then widths by metric from where they can begin; then a flush and a restart, perhaps."""

    samples: list[Sample]
    widths: dict[str, int]
    flush: bool
    restart: bool


samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(METRICS),
    ts=st.integers(0, 90).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 0.3, 1e16, -3.5]),
)
acts = st.builds(
    Act,
    samples=st.lists(samples, max_size=12),
    widths=st.dictionaries(st.sampled_from(METRICS), st.sampled_from(WIDTHS), max_size=3),
    flush=st.booleans(),
    restart=st.booleans(),
)


class Gateway(Bench):
    """One whose widths are changed from outside, as the score of a device would do it."""

    def widen(self, widths: dict[str, int]) -> None:
        names = self.rooms.names
        series = [number for number, name in enumerate(names.series) if name.metric in widths]
        wanted = np.array([widths[names.series[number].metric] for number in series], np.int64)
        names.widths.switch(np.array(series, np.int64), wanted, self.rooms.windows.newest())
        self.rooms.rewidened += series


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(acts, min_size=1, max_size=9))
def test_windows_tile_time_and_hold_each_sample_once(story: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Gateway(edge_config(Path(folder), heartbeat_s=3600.0, metrics=ASKED))
        for act in story:
            bench.take([message(sample) for sample in act.samples], T0 + 91_000)
            bench.widen(act.widths)
            if act.flush:
                bench.flush(T0 + 91_000)
            if act.restart:
                bench.restart()
        bench.flush(T0 + 1_000_000)
        batches = bench.batches()
        totals = bench.rooms.ledger.totals
        bench.close()
    sent = [sample for act in story for sample in act.samples]
    found = final_rollups(batches)
    check_ledger(batches)
    for one, other in pairwise(sorted(found)):
        if one[:2] == other[:2]:
            assert one.start + one.width <= other.start, (one, other)
    expected = _naive(sent, list(found))
    assert {window: numbers.bits() for window, numbers in found.items()} == {
        window: numbers.bits() for window, numbers in expected.items()
    }
    assert final_details(batches) == _naive_details(sent, list(found), Aspects.from_config(bench.config))
    distinct = sum(numbers.count for numbers in found.values())
    assert distinct == len({sample[:3] for sample in sent})
    assert (totals.rolled_up, totals.open, totals.unaccounted()) == (distinct, 0, 0)


def _naive(sent: list[Sample], windows: list[Window]) -> dict[Window, Numbers]:
    # One loop: the window that a sample lies in, and its statistics as if there were no other.
    found: dict[Window, Numbers] = {}
    for window in windows:
        inside = [
            sample
            for sample in sent
            if sample[:2] == window[:2] and window.start <= sample.ts < window.start + window.width
        ]
        moved = [sample._replace(ts=sample.ts - window.start) for sample in inside]
        ((_, numbers),) = naive_rollups(moved, {}, 1 << 40).items()
        found[window] = numbers
    return found


def _naive_details(sent: list[Sample], windows: list[Window], aspects: Aspects) -> dict[Window, list[Detail]]:
    # As if all windows of a series were one: what that says of each sample belongs to the window that it lies in.
    found: dict[Window, list[Detail]] = {}
    for window in windows:
        end = window.start + window.width
        upto = [sample for sample in sent if sample[:2] == window[:2] and sample.ts < end]
        before = [sample for sample in upto if sample.ts < window.start]
        last = max(before, key=lambda sample: (sample.ts, sample.value), default=None)
        inside = [sample for sample in upto if sample.ts >= window.start]
        # The sample before it lies in a window of its own, which is not looked at.
        moved = [sample._replace(ts=sample.ts - window.start + _FAR) for sample in (*inside, *([last] if last else []))]
        every = naive_details(moved, {}, _FAR, aspects)
        (details,) = [every[key] for key in every if key.start == _FAR] or [[]]
        found |= {window: details} if details else {}
    return found


_FAR = 1 << 20


def test_widths_are_forgotten_with_the_samples_that_nobody_takes_any_more(tmp_path: Path) -> None:
    bench = Gateway(edge_config(tmp_path, allowed_lateness_s=60.0, heartbeat_s=1.0))
    for step in range(40):
        at = T0 + step * 20_000
        bench.take([message(Sample("a", "m", at, 1.0))], at)
        bench.widen({"m": WIDTHS[step % 3]})
        bench.flush(at)
    assert 2 <= len(bench.rooms.names.widths.past) <= 6
    bench.take([message(Sample("a", "m", T0 + 5, 9.0)), message(Sample("a", "m", T0 + 760_001, 9.0))], T0 + 800_000)
    bench.flush(T0 + 800_000)
    assert bench.rooms.ledger.totals.rejected == {"too_old": 1}
    assert final_rollups(bench.batches())[Window("a", "m", T0 + 760_000, 5000)].count == 2
    bench.restart()
    assert 2 <= len(bench.rooms.names.widths.past) <= 6
    bench.close()


past = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(1, 9)), max_size=12, unique_by=lambda row: row[:2]
)


@given(past, st.lists(st.integers(0, 20), min_size=4, max_size=4), st.data())
def test_past_widths_are_those_of_the_naive_loop(
    rows: list[tuple[int, int, int]], over: list[int], data: st.DataObject
) -> None:
    known = PastWidths()
    for row in rows:
        known.add(*(np.array([number]) for number in row))
    known.forget(np.array(over))
    left = sorted(PastWidth(*row) for row in rows if row[1] > over[row[0]])
    assert len(known) == len(left)
    again = PastWidths()
    again.load(left)
    for past_widths in (known, again):
        for series in {row.series for row in left}:
            newest = max(row.until for row in left if row.series == series)
            ts = data.draw(st.integers(0, newest - 1))
            expected = next(row.width for row in left if row.series == series and row.until > ts)
            assert past_widths.of(np.array([series]), np.array([ts])).tolist() == [expected]
