"""What the InfluxDB store asks and how it reads the answers."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.contract.batch import MetricRow
from ingest.runtime.store import flux
from ingest.runtime.store.influx import _removable_runs
from ingest.runtime.store.line_protocol import encode_rows
from ingest.runtime.store.port import SeriesQuery, StoreTotals, StoreUnavailableError
from ingest.runtime.store.tags import is_label, label_of_tag, series_tags, tag_of_label
from tests.rollup_batches import Row, make_batch


def test_a_literal_cannot_end_or_interpolate_anything() -> None:
    assert flux.literal("plant 7_a-b.c:d/e") == '"plant 7_a-b.c:d/e"'
    assert flux.literal('"${x}\\\n') == r'"\x22\x24\x7bx\x7d\x5c\x0a"'
    assert flux.literal("é") == r'"\xc3\xa9"'


def test_names_reach_a_query_only_as_literals() -> None:
    hostile = 'x") |> drop() //'
    text = flux.read_query("b", SeriesQuery(tenant="t", site=hostile, device=hostile, metric=hostile))
    assert "drop()" not in text
    assert text.count(r"\x22\x29 \x7c\x3e drop") == 3


def test_times_beyond_influxdbs_are_held_to_them() -> None:
    text = flux.read_query("b", SeriesQuery(tenant="t", start=-5, end=1 << 53))
    assert "start: 1970-01-01T00:00:00.000Z, stop: 2262-04-11T23:47:16.853Z" in text


def test_a_delete_predicate_names_every_tag() -> None:
    tags = series_tags("s", "d", MetricRow('m"x', labels=(("core", "a\\b"),)))
    assert flux.delete_predicate(tags) == (
        '"_measurement"="rollups" AND "core"="a\\\\b" AND "labels"="1" AND "metric"="m\\"x" AND "site"="s" AND "device"="d"'
    )


@pytest.mark.parametrize("name", ["zone", "site", "count", "time", "_field", "label_zone", "label_", "__x"])
def test_a_label_comes_back_from_its_tag(name: str) -> None:
    assert is_label(tag_of_label(name))
    assert label_of_tag(tag_of_label(name)) == name


def test_labels_that_look_like_escaped_ones_stay_apart() -> None:
    assert len({tag_of_label(name) for name in ("site", "label_site", "label_label_site")}) == 3


def test_an_answer_of_several_tables_is_read_by_their_headers() -> None:
    answer = ",result,table,_value\r\n,samples,0,12\r\n\r\n,result,table,_value\r\n,windows,1,3\r\n\r\n"
    assert flux.read_totals(answer) == StoreTotals(windows=3, samples=12)
    assert flux.read_totals("\r\n") == StoreTotals(0, 0)
    assert flux.read_series("") == []


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(StoreUnavailableError, match="memory exhausted"):
        flux.read_totals(",result,table,_value\r\n,samples,0,12\r\n\r\nerror,reference\r\nmemory exhausted,897\r\n")


def test_runs_of_windows_to_remove_stop_at_what_stays() -> None:
    present, unwanted = [0, 10, 20, 30, 35, 40], {0, 10, 30, 50}
    assert _removable_runs(present, unwanted) == [(0, 10), (30, 30)]
    assert _removable_runs([], unwanted) == []
    assert _removable_runs(present, set(present)) == [(0, 40)]


def test_a_trailing_backslash_becomes_the_space_that_influxdb_would_make_of_it() -> None:
    batch = make_batch([Row(metric="a\\", labels=(("k", "v\\"),))])
    assert encode_rows(batch, np.arange(1)).startswith(
        rb"rollups,device=pump-1,k=v\ ,labels=1,metric=a\ ,site=plant-7 "
    )
