"""Whatever is configured anew while a gateway runs: no window is lost, none overlaps another, and the account balances."""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_aggregator.config import MetricConfig
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.resolution.config import AdaptiveConfig
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, final_rollups, message
from tests.examples import examples

NOW = T0 + 200_000
samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(["m", "n_total"]),
    ts=st.integers(0, 150).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 3.5]),
)
changes = st.fixed_dictionaries(
    {
        "window_s": st.sampled_from([1.0, 5.0, 7.0, 10.0]),
        "metrics": st.sampled_from(
            [[], [MetricConfig(metric="m", width_s=3.0, quantiles=True, early_s=1.0, quiet_s=9.0)]]
        ),
        "adaptive": st.sampled_from([AdaptiveConfig(), AdaptiveConfig(width_s=0.5, quiet_windows=1)]),
        "allowed_lateness_s": st.sampled_from([0.0, 15.0, 1000.0]),
        "quotas": st.sampled_from([QuotaConfig(), QuotaConfig(series=1)]),
        "max_age_s": st.sampled_from([150.0, 1e6]),
    }
)


class Act(NamedTuple):
    """A commit, and what comes after it."""

    samples: list[Sample]
    changes: dict[str, Any] | None
    flush: bool
    restart: bool


acts = st.lists(
    st.builds(
        Act,
        samples=st.lists(samples, max_size=10),
        changes=st.none() | changes,
        flush=st.booleans(),
        restart=st.integers(0, 5).map(lambda number: number == 0),
    ),
    min_size=1,
    max_size=10,
)


# a width for the metric, then a late sample of a window that was emitted in the old width
LATE_AFTER_ANOTHER_WIDTH = [
    Act([Sample("a", "m", T0 + 50_847, 0.1)], {"window_s": 1.0, "allowed_lateness_s": 15.0}, flush=True, restart=True),
    Act([Sample("a", "m", T0 + 60_817, 0.1)], None, flush=True, restart=True),
    Act([], {"window_s": 1.0, "metrics": [MetricConfig(metric="m", width_s=3.0, quantiles=True)]}, False, False),
    Act([Sample("a", "m", T0 + 50_847, 0.2)], None, flush=False, restart=False),
]


@settings(max_examples=examples(25), deadline=None)
@given(acts)
@example(LATE_AFTER_ANOTHER_WIDTH)
def test_no_window_is_lost_and_none_overlaps(story: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fixed: dict[str, Any] = {"heartbeat_s": 3600.0, "idle_close_s": 5.0}
        bench, came = Bench(edge_config(Path(folder), **fixed)), 0
        for act in story:
            bench.take([message(sample) for sample in act.samples], NOW)
            came += len(act.samples)
            if act.changes is not None:
                bench.config = edge_config(Path(folder), **fixed, **act.changes)
                bench.core.reload(bench.config, {})
            if act.flush:
                bench.flush(NOW)
            if act.restart:
                bench.restart()
            totals = bench.rooms.ledger.totals
            assert (totals.received, totals.unaccounted()) == (came, 0)
            assert totals.open == bench.rooms.windows.samples()
        bench.flush(NOW + 10**9)
        batches, totals = bench.batches(), bench.rooms.ledger.totals
        check_ledger(batches)
        found = final_rollups(batches)
        assert totals.open == 0
        assert sum(numbers.count for numbers in found.values()) == totals.rolled_up
        spans = defaultdict(list)
        for window in found:
            spans[window.device, window.metric].append((window.start, window.start + window.width))
        for tiles in spans.values():
            tiles.sort()
            assert all(end <= start for (_, end), (start, _) in itertools.pairwise(tiles))
        bench.close()
