"""Quotas against naive loops: who keeps its series, what overflows, and what the overflow series adds up to."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.metric_facts import OVERFLOW_METRIC
from edge_aggregator.quotas.config import QuotaConfig
from edge_aggregator.quotas.rates import Rates, Shares, surplus
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, final_rollups, message
from tests.examples import examples

commits = st.lists(st.lists(st.integers(0, 5), max_size=30), min_size=1, max_size=6)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 12), min_size=6, max_size=6))
def test_every_series_of_a_device_keeps_as_many_as_it_can(drawn: list[int], bounds: list[int]) -> None:
    series, most = np.array(sorted(drawn), np.int64), np.array(bounds)
    device = series // 2  # two series a device
    shares = Shares(most[:3], most[3:], np.zeros(3, np.bool_))
    found = surplus(series, device, shares)
    spilled, refused = set(found.spilled.tolist()), set(found.refused.tolist())
    for number in range(3):
        ranked, seen = [], Counter[int]()
        for index in np.flatnonzero(device == number).tolist():
            ranked.append((seen[series[index]], index))
            seen[series[index]] += 1
        order = [index for _, index in sorted(ranked)]
        kept, more = order[: most[number]], order[most[number] :][: most[3 + number]]
        assert not (set(kept) & (spilled | refused))
        assert set(more) == spilled & set(order)
        assert set(order) - set(kept) - set(more) == refused & set(order)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4000), st.integers(-500, 3000)), max_size=12))
def test_a_bucket_holds_its_burst_and_fills_with_time(story: list[tuple[int, int, int]]) -> None:
    config = QuotaConfig(samples_per_s=5.0, bytes_per_s=700.0, burst_s=2.0, overflow_factor=2.0)
    rates, now = Rates(config), T0
    rates.take(np.zeros(1, np.int64), np.zeros(1), now)
    samples, size, overflow = 10.0, 1400.0, 20.0
    for count, sent, passed in story:
        filled = max(0, passed) / 1000
        now += passed
        samples, size = min(10.0, samples + 5.0 * filled), min(1400.0, size + 700.0 * filled)
        overflow = min(20.0, overflow + 10.0 * filled)
        fits = min(1.0, size / sent) if sent else 1.0
        kept = int(min(count * fits, samples))
        spilled = min(count - kept, int(overflow))
        samples, size, overflow = samples - kept, size - min(sent, size), overflow - spilled
        shares = rates.take(np.array([count]), np.array([float(sent)]), now)
        assert (shares.kept.tolist(), shares.spilled.tolist()) == ([kept], [spilled])


samples = st.builds(
    Sample,
    device=st.sampled_from(["a", "b"]),
    metric=st.sampled_from(["m0", "m1", "m2", "m3"]),
    ts=st.integers(0, 60).map(lambda step: T0 + step * 997),
    value=st.sampled_from([0.1, 0.2, 3.5, -7.25]),
)


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.tuples(st.lists(samples, max_size=12), st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_nothing_is_lost_and_the_overflow_adds_up(story: list[tuple[list[Sample], bool, bool]]) -> None:
    quotas = QuotaConfig(series=2, samples_per_s=1.0, burst_s=6.0, overflow_factor=3.0)
    with tempfile.TemporaryDirectory() as folder:
        config = edge_config(Path(folder), quotas=quotas, heartbeat_s=3600.0, idle_close_s=5.0)
        bench, came = Bench(config), 0
        taken: dict[str, list[float]] = defaultdict(list)
        for commit, flush, restart in story:
            bench.take([message(sample) for sample in commit], T0 + 61_000)
            came += len(commit)
            for block in bench.rooms.journal.read(bench.rooms.position, bench.rooms.position):
                for series, value in zip(block.samples.series.tolist(), block.samples.value.tolist(), strict=True):
                    name = bench.rooms.names.series[series]
                    if name.metric == OVERFLOW_METRIC:
                        taken[bench.rooms.names.devices[name.device]].append(value)
            if flush:
                bench.flush(T0 + 61_000)
            if restart:
                bench.restart()
            totals = bench.rooms.ledger.totals
            assert (totals.received, totals.unaccounted()) == (came, 0)
            assert totals.open == bench.rooms.windows.samples()
        bench.flush(T0 + 10**9)
        batches = bench.batches()
        check_ledger(batches)
        found: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        for window, numbers in final_rollups(batches).items():
            if window.metric == OVERFLOW_METRIC:
                found[window.device][0] += numbers.count
                found[window.device][1] += numbers.sum
        assert {device: len(values) for device, values in taken.items()} == {d: f[0] for d, f in found.items()}
        for device, values in taken.items():
            assert np.isclose(sum(values), found[device][1])
        assert set(bench.rooms.ledger.totals.rejected) <= {"over_quota"}
        assert len({name.metric for name in bench.rooms.names.series} - {OVERFLOW_METRIC}) <= 4
        assert bench.rooms.names.places.total <= 6
        bench.close()
