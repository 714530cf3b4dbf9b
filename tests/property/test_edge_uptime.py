"""Uptimes that fall, against a naive loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_aggregator.columns import Columns
from edge_aggregator.decode.decoded import Samples
from edge_aggregator.devices.uptime import falls
from edge_aggregator.names import Names, SeriesName
from edge_aggregator.widths import Widths

blocks = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["uptime_s", "t"]), st.integers(0, 9), st.integers(0, 9))),
    max_size=5,
)


@settings(deadline=None)
@given(blocks)
def test_falls_are_those_of_the_naive_loop(story: list[list[tuple[int, str, int, int]]]) -> None:
    names = Names(Widths(10_000), max_devices=3, max_series=6)
    for device in range(3):
        names.device_id(f"d{device}")
    columns = Columns({"uptime": ("f8", -np.inf), "uptime_ts": ("i8", -1)})
    columns.grow_to(3)
    newest: dict[int, tuple[int, float]] = {}
    for block in story:
        found = sorted((names.series_id(SeriesName(d, metric)) or 0, ts, float(v)) for d, metric, ts, v in block)
        parts = [np.array(column) for column in zip(*found, strict=True)] or [np.empty(0)] * 3
        samples = Samples(parts[0].astype(np.int64), parts[1].astype(np.int64), parts[2].astype(np.float64))
        assert [tuple(fall) for fall in falls(samples, names, columns)] == _naive(samples, names, newest)


def _naive(samples: Samples, names: Names, newest: dict[int, tuple[int, float]]) -> list[tuple[int, float]]:
    rows = zip(*(column.tolist() for column in samples), strict=True)
    ups = [(names.series[s].device, ts, v) for s, ts, v in rows if names.series[s].metric == "uptime_s"]
    fell = []
    for device, ts, uptime in sorted(ups, key=lambda row: row[:2]):
        before_ts, before = newest.get(device, (-1, -np.inf))
        if ts > before_ts:
            if uptime < before:
                fell.append((device, uptime))
            newest[device] = (ts, uptime)
    return fell
