"""The embedded store's file: what is waited out, who else may use it, and that it lasts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import apsw
import pytest

from ingest.runtime.store.detail_fields import DETAIL_FIELDS
from ingest.runtime.store.port import SeriesQuery, StoreTotals, StoreUnavailableError
from ingest.runtime.store.sqlite import SqliteStore
from tests.rollup_batches import ORIGIN, Row, all_rows, make_batch

if TYPE_CHECKING:
    from pathlib import Path


async def test_tenants_share_a_file_and_nothing_else(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    for tenant in ("red", "blue"):
        batch = make_batch([Row()], origin=ORIGIN._replace(tenant=tenant))
        await store.write(batch, all_rows(batch))
    assert await store.totals("red") == StoreTotals(1, 3)
    await store.close()


async def test_a_file_of_an_earlier_release_learns_of_details(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    batch = make_batch([Row()])
    await store.write(batch, all_rows(batch))
    await store.close()
    old = apsw.Connection(str(path))
    for name in DETAIL_FIELDS:
        old.execute(f"ALTER TABLE windows DROP COLUMN {name}")
    old.close()
    store = SqliteStore(path)
    batch = make_batch([Row(metric="requests_total", growth=(7.0, 0))])
    await store.write(batch, all_rows(batch))
    found = await store.read(SeriesQuery(tenant=ORIGIN.tenant))
    assert [(series.count.tolist(), series.details.get("increase")) for series in found] == [([3], [7.0]), ([3], None)]
    await store.close()


async def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    writer, reader = SqliteStore(tmp_path / "store.db"), SqliteStore(tmp_path / "store.db")
    batch = make_batch([Row()])
    assert await reader.totals(ORIGIN.tenant) == StoreTotals(0, 0)
    await writer.write(batch, all_rows(batch))
    assert await reader.totals(ORIGIN.tenant) == StoreTotals(1, 3)
    await writer.close()
    await reader.close()


async def test_a_file_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", timeout_s=0.05)
    await store.check()
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="another process holds it"):
        await store.check()
    other.execute("ROLLBACK")
    await store.check()
    await store.close()
    other.close()


async def test_a_file_that_is_something_else_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(os.urandom(8192))
    store = SqliteStore(tmp_path / "store.db")
    with pytest.raises(StoreUnavailableError, match="not a store of tidegate"):
        await store.check()
    (tmp_path / "store.db").unlink()
    await store.check()
    await store.close()


async def test_a_folder_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "store.db")
    with pytest.raises(StoreUnavailableError, match="file"):
        await store.check()
    await store.close()


async def test_a_full_disk_is_waited_out_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.check()
    assert store._db is not None
    store._db.pragma("max_page_count", store._db.pragma("page_count") + 1)
    batch = make_batch([Row(device=f"pump-{i}") for i in range(500)])
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        await store.write(batch, all_rows(batch))
    assert await store.totals(ORIGIN.tenant) == StoreTotals(0, 0)
    await store.write(batch, all_rows(batch))
    assert await store.totals(ORIGIN.tenant) == StoreTotals(500, 1500)
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.close()
    with pytest.raises(StoreUnavailableError, match="was closed"):
        await store.check()
