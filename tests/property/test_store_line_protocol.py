"""Line protocol built by column says, row for row, what influxdb-client's own Point says."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client.client.write import point

from ingest.contract.batch import COLUMNS, DeviceRow, MetricRow, Origin, RollupBatch
from ingest.runtime.store.line_protocol import encode_rows
from ingest.runtime.store.tags import FIELDS, FLOAT_FIELDS, series_tags
from tests.examples import examples
from tests.rollup_batches import balanced_entry

POINT: Any = point.Point  # the client ships hardly a type
TEXTS = st.text(st.sampled_from('ab é☃,= "\\#\n\t\r$_'), min_size=1, max_size=6)
# Point leaves a key that ends in a backslash as it is, and InfluxDB then cannot read the line.
LABEL_NAMES = st.one_of(st.sampled_from(["site", "device", "count", "time", "_x", "label_y", "zone"]), TEXTS).filter(
    lambda name: not name.endswith("\\")
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,8}", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.builds(
    MetricRow,
    TEXTS,
    labels=st.dictionaries(LABEL_NAMES, st.one_of(TEXTS, st.just("")), max_size=4).map(
        lambda labels: tuple(sorted(labels.items()))
    ),
)


@st.composite
def batches(draw: st.DrawFn) -> RollupBatch:
    devices = draw(st.lists(NAMES.map(DeviceRow), min_size=1, max_size=3))
    metrics = draw(st.lists(METRICS, min_size=1, max_size=3))
    rows = draw(st.integers(1, 8))

    def column(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.one_of(st.lists(values, min_size=rows, max_size=rows), values.map(lambda value: [value] * rows)))

    values: dict[str, st.SearchStrategy[Any]] = {
        "device": st.integers(0, len(devices) - 1),
        "metric": st.integers(0, len(metrics) - 1),
        "start": st.integers(0, 1 << 53),
        "width": st.integers(1, (1 << 32) - 1),
        "count": st.integers(1, (1 << 32) - 1),
        "revision": st.integers(0, (1 << 16) - 1),
    }
    columns = {name: np.array(column(values.get(name, FLOATS)), dtype) for name, dtype in COLUMNS.items()}
    return RollupBatch(
        origin=Origin("acme", draw(NAMES), "gw", "boot"),
        seq=1,
        created=0,
        historical=False,
        devices=devices,
        metrics=metrics,
        columns=columns,
        ledger=balanced_entry(1, 0),
    )


@settings(max_examples=examples(60), deadline=None)
@given(batches(), st.data())
def test_lines_are_those_of_the_clients_point(batch: RollupBatch, data: st.DataObject) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=8, unique=True)), np.intp)
    lines = encode_rows(batch, rows).decode()
    assert lines.endswith("\n") or not len(rows)
    assert [parsed(line) for line in lines.split("\n")[:-1]] == [parsed(oracle(batch, row)) for row in rows.tolist()]


def oracle(batch: RollupBatch, row: int) -> str:
    values = {name: batch.column(name)[row].item() for name in COLUMNS}
    line = POINT("rollups").time(values["start"], "ms")
    tags = series_tags(batch.origin.site, batch.devices[values["device"]].device, batch.metrics[values["metric"]])
    for key, value in tags.items():
        line.tag(key, value)
    for field in FIELDS:
        line.field(field, values["sum"] / values["count"] if field == "mean" else values[field])
    return str(line.to_line_protocol(precision="ms"))


def parsed(line: str) -> tuple[str, dict[str, str | float], str]:
    """Series as it stands; fields with floats as numbers, for they may be written in several ways; timestamp."""
    series, fields, timestamp = line.rsplit(" ", 2)
    pairs = dict(field.split("=") for field in fields.split(","))
    assert list(pairs) == sorted(pairs)
    return series, {key: float(value) if key in FLOAT_FIELDS else value for key, value in pairs.items()}, timestamp
