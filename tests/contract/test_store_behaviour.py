"""What every store promises: one suite, run against the embedded one and a real InfluxDB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ingest.contract.batch import Origin
from ingest.runtime.store.config import StoreConfig
from ingest.runtime.store.open import open_store
from ingest.runtime.store.port import SeriesQuery, StoreTotals, WindowKey
from tests.rollup_batches import ORIGIN, T0, Row, all_rows, make_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ingest.runtime.store.port import Series, Store

HOSTILE_TEXTS = (
    "a b",
    "a,b",
    "a=b",
    'quo"te',
    "back\\slash",
    "comma\\,after",
    "ünï ☃",
    "${tenant}",
    '") or true or (r["x"] == "',
    "# no comment",
    "x AND y=1",
    "'single'",
)
RESERVED_LABELS = ("site", "device", "metric", "time", "_field", "_measurement", "count", "labels", "label_x", "result")


@pytest.fixture(params=["sqlite", pytest.param("influxdb", marks=pytest.mark.servers("influxdb"))])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> StoreConfig:
    if request.param == "sqlite":
        return StoreConfig(kind="sqlite", path=str(tmp_path / "store.db"))
    endpoint = request.getfixturevalue("influxdb").endpoint
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    token_file.write_text(endpoint.token)
    return StoreConfig(
        kind="influxdb",
        url=endpoint.url,
        org=endpoint.org,
        bucket=endpoint.bucket,
        tenant=ORIGIN.tenant,
        token_file=str(token_file),
    )


@pytest.fixture
async def store(config: StoreConfig) -> AsyncIterator[Store]:
    store = open_store(config)
    yield store
    await store.close()


@pytest.fixture
def origin() -> Origin:
    """A site of its own for each test: one InfluxDB serves them all."""
    return ORIGIN._replace(site=f"site-{os.urandom(6).hex()}")


async def put(store: Store, origin: Origin, *rows: Row) -> None:
    batch = make_batch(rows, origin=origin)
    await store.write(batch, all_rows(batch))


async def read(store: Store, origin: Origin, **filters: str | int) -> list[Series]:
    return await store.read(SeriesQuery(tenant=origin.tenant, site=origin.site, **filters))  # type: ignore[arg-type]  # tests name the filters


def key(origin: Origin, row: Row) -> WindowKey:
    return WindowKey(origin.site, row.device, row.metric, row.labels, row.start)


async def test_what_was_written_is_read_back_with_its_types(store: Store, origin: Origin) -> None:
    await put(store, origin, Row(values=(0.1, 0.2, 1e150)), Row(start=T0 + 10_000, values=(-5e-324, 7.0), revision=3))
    (series,) = await read(store, origin)
    assert (series.site, series.device, series.metric, series.labels) == (origin.site, "pump-1", "temperature", ())
    assert series.start.tolist() == [T0, T0 + 10_000]
    assert series.width.tolist() == [10_000, 10_000]
    assert series.count.tolist() == [3, 2]
    assert series.sum.tolist() == [0.1 + 0.2 + 1e150, 7.0 + -5e-324]
    assert series.min.tolist() == [0.1, -5e-324]
    assert series.max.tolist() == [1e150, 7.0]
    assert series.last.tolist() == [1e150, 7.0]
    assert series.revision.tolist() == [0, 3]
    assert {str(getattr(series, name).dtype) for name in ("start", "width", "count", "revision")} == {"int64"}
    assert {str(getattr(series, name).dtype) for name in ("sum", "sumsq", "min", "max", "last")} == {"float64"}
    assert series.mean().tolist() == [1e150 / 3, 3.5]


async def test_details_are_kept_where_a_window_has_them(store: Store, origin: Origin) -> None:
    values = tuple(float(n) for n in range(1, 101))
    rows = [
        Row(values=values, quantiles=True),
        Row(start=T0 + 10_000),
        Row(metric="requests_total", growth=(50.0, 1)),
        Row(metric="mode", changes=2),
        Row(metric="mode", start=T0 + 10_000, quantiles=True, values=(3.0,), changes=0),
    ]
    await put(store, origin, *rows)
    mode, requests, temperature = sorted(await read(store, origin), key=lambda series: series.metric)
    assert {name: column.tolist() for name, column in requests.details.items()} == {
        "increase": [50.0],
        "rate": [5.0],
        "resets": [1.0],
    }
    assert mode.details["changes"].tolist() == [2.0, 0.0]
    assert str(mode.details["p99"].tolist()) == "[nan, 3.0]"
    assert sorted(temperature.details) == ["p50", "p90", "p95", "p99"]
    for name, true in (("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)):
        found, missing = temperature.details[name].tolist()
        assert abs(found - true) <= 0.0101 * true
        assert str(missing) == "nan"
    await put(store, origin, Row(start=T0 + 10_000, values=(7.0, 8.0), revision=1))
    (plain,) = await read(store, origin, metric="temperature")
    assert plain.count.tolist() == [100, 2]


async def test_only_the_rows_asked_for_are_written(store: Store, origin: Origin) -> None:
    batch = make_batch([Row(start=T0 + i * 10_000) for i in range(4)], origin=origin)
    await store.write(batch, all_rows(batch)[[1, 3]])
    (series,) = await read(store, origin)
    assert series.start.tolist() == [T0 + 10_000, T0 + 30_000]
    await store.write(batch, all_rows(batch)[:0])
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(2, 6)


async def test_a_window_written_again_is_replaced_whatever_its_width(store: Store, origin: Origin) -> None:
    await put(store, origin, Row(values=(1.0, 2.0)))
    await put(store, origin, Row(values=(5.0,), revision=1))
    await put(store, origin, Row(values=(1.0, 2.0, 3.0, 4.0), width=60_000, revision=2))
    (series,) = await read(store, origin)
    assert (series.width.tolist(), series.count.tolist(), series.revision.tolist()) == ([60_000], [4], [2])
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(1, 4)


async def test_series_are_told_apart_by_device_metric_and_labels(store: Store, origin: Origin) -> None:
    rows = [
        Row(metric="cpu"),
        Row(metric="cpu", labels=(("core", "0"),)),
        Row(metric="cpu", labels=(("core", "0"), ("mode", "idle"))),
        Row(metric="cpu", labels=(("core", "1"),)),
        Row(metric="cpu", device="pump-2"),
    ]
    await put(store, origin, *rows)
    found = [(series.device, series.labels) for series in await read(store, origin, metric="cpu")]
    assert found == sorted((row.device, row.labels) for row in rows)
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(5, 15)


async def test_filters_and_times_choose(store: Store, origin: Origin) -> None:
    await put(
        store, origin, *(Row(device=d, metric=m, start=T0 + s) for d in "ab" for m in "xy" for s in (0, 10_000, 20_000))
    )
    (series,) = await read(store, origin, device="a", metric="y", start=T0 + 10_000, end=T0 + 20_000)
    assert (series.device, series.metric, series.start.tolist()) == ("a", "y", [T0 + 10_000])
    assert await read(store, origin, device="c") == []
    assert await read(store, origin, start=T0, end=T0) == []
    assert await read(store, origin, start=T0 + 30_000) == []


async def test_a_limit_keeps_the_newest_windows(store: Store, origin: Origin) -> None:
    await put(store, origin, *(Row(device=d, start=T0 + i * 10_000) for d in ("a", "b") for i in range(5)))
    found = await read(store, origin, limit=4)
    assert [(s.device, s.start.tolist()) for s in found] == [(d, [T0 + 30_000, T0 + 40_000]) for d in ("a", "b")]


async def test_milliseconds_survive(store: Store, origin: Origin) -> None:
    starts = [T0 + 1, T0 + 250, T0 + 999, T0 + 1000]
    await put(store, origin, *(Row(start=start, width=1) for start in starts))
    (series,) = await read(store, origin)
    assert series.start.tolist() == starts


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
async def test_any_name_is_kept_and_found_as_it_is(store: Store, origin: Origin, text: str) -> None:
    labels = tuple(sorted({("zone", text), (text, "value")}))
    await put(store, origin, Row(metric=text), Row(metric="other", labels=labels), Row(metric="other"))
    (by_name,) = await read(store, origin, metric=text)
    assert (by_name.metric, by_name.labels) == (text, ())
    assert [series.labels for series in await read(store, origin, metric="other")] == [(), labels]
    await store.remove(origin.tenant, [key(origin, Row(metric=text)), key(origin, Row(metric="other", labels=labels))])
    assert [(s.metric, s.labels) for s in await read(store, origin)] == [("other", ())]


async def test_labels_may_be_called_like_the_stores_own_names(store: Store, origin: Origin) -> None:
    labels = tuple(sorted((name, f"my {name}") for name in RESERVED_LABELS))
    await put(store, origin, Row(labels=labels))
    (series,) = await read(store, origin)
    assert series.labels == labels
    assert series.count.tolist() == [3]


async def test_an_empty_label_is_no_label(store: Store, origin: Origin) -> None:
    await put(store, origin, Row(labels=(("core", ""), ("mode", "idle"))))
    await put(store, origin, Row(labels=(("mode", "idle"),), values=(9.0,)))
    (series,) = await read(store, origin)
    assert (series.labels, series.count.tolist()) == ((("mode", "idle"),), [1])


async def test_removed_windows_are_gone_and_their_neighbours_are_not(store: Store, origin: Origin) -> None:
    rows = [Row(start=T0 + i * 10_000, labels=labels) for i in range(6) for labels in ((), (("core", "0"),))]
    await put(store, origin, *rows)
    unlabelled = [row for row in rows if not row.labels]
    await store.remove(origin.tenant, [key(origin, unlabelled[i]) for i in (1, 2, 4)])
    found = {series.labels: series.start.tolist() for series in await read(store, origin)}
    assert found == {
        (): [T0, T0 + 30_000, T0 + 50_000],
        (("core", "0"),): [T0 + i * 10_000 for i in range(6)],
    }
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(9, 27)


async def test_a_window_is_removed_whatever_its_width(store: Store, origin: Origin) -> None:
    await put(store, origin, Row(width=60_000), Row(start=T0 + 60_000))
    await store.remove(origin.tenant, [key(origin, Row(width=10_000)), key(origin, Row(device="nobody"))])
    await store.remove(origin.tenant, [])
    (series,) = await read(store, origin)
    assert series.start.tolist() == [T0 + 60_000]


async def test_a_removed_window_can_be_written_again(store: Store, origin: Origin) -> None:
    await put(store, origin, Row())
    await store.remove(origin.tenant, [key(origin, Row())])
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(0, 0)
    await put(store, origin, Row(values=(4.0,)))
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(1, 1)


async def test_totals_are_by_tenant_and_site(store: Store, origin: Origin) -> None:
    other = origin._replace(site=f"{origin.site}-b")
    await put(store, origin, Row(), Row(device="b"))
    await put(store, other, Row())
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(2, 6)
    assert await store.totals(origin.tenant, other.site) == StoreTotals(1, 3)
    assert (await store.totals(origin.tenant)).windows >= 3
    assert await store.totals("nobody") == StoreTotals(0, 0)
    assert await store.read(SeriesQuery(tenant="nobody")) == []


async def test_a_store_that_is_there_is_ready(store: Store) -> None:
    await store.check()


async def test_what_was_written_survives_closing(config: StoreConfig, origin: Origin) -> None:
    for values in ((1.0,), (1.0, 2.0)):
        store = open_store(config)
        await put(store, origin, Row(values=values))
        await store.close()
        await store.close()
    store = open_store(config)
    assert await store.totals(origin.tenant, origin.site) == StoreTotals(1, 2)
    await store.close()
