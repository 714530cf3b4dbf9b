"""Tables of the embedded store, and what is asked of them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import numpy as np

from ingest.runtime.store.detail_fields import DETAIL_FIELDS, detail_fields
from ingest.runtime.store.labels import Labels, effective_labels
from ingest.runtime.store.port import Series, StoreTotals
from ingest.runtime.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch
    from ingest.runtime.store.port import SeriesQuery, WindowKey

SeriesName = tuple[str, str, str, str, str]
"""Tenant, site, device, metric, labels as JSON: also the order of the series' unique index."""

COLUMNS: dict[str, type[Any]] = {
    "start": np.int64,
    "width": np.int64,
    "count": np.int64,
    "sum": np.float64,
    "sumsq": np.float64,
    "min": np.float64,
    "max": np.float64,
    "last": np.float64,
    "revision": np.int64,
}

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 16777216;
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, site TEXT NOT NULL, device TEXT NOT NULL, metric TEXT NOT NULL,
    labels TEXT NOT NULL, UNIQUE (tenant, site, device, metric, labels));
CREATE TABLE IF NOT EXISTS windows (
    series INTEGER, start INTEGER, width INTEGER NOT NULL, count INTEGER NOT NULL, sum REAL NOT NULL,
    sumsq REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL, last REAL NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (series, start)) WITHOUT ROWID;
"""
_FIND = "SELECT id FROM series WHERE tenant = ? AND site = ? AND device = ? AND metric = ? AND labels = ?"
_NEW = "INSERT INTO series (tenant, site, device, metric, labels) VALUES (?, ?, ?, ?, ?) RETURNING id"
_ALL = ("series", *COLUMNS, *DETAIL_FIELDS)
_WRITE = f"INSERT OR REPLACE INTO windows ({', '.join(_ALL)}) VALUES ({', '.join('?' * len(_ALL))})"  # noqa: S608 - of constants
_REMOVE = f"DELETE FROM windows WHERE series = ({_FIND}) AND start = ?"  # noqa: S608 - made of a constant
_WHICH = "tenant = :tenant AND (:site = '' OR site = :site)"
_READ = f"""
SELECT site, device, metric, labels, {", ".join((*COLUMNS, *DETAIL_FIELDS))} FROM (
    SELECT * FROM series JOIN windows ON series = id
    WHERE {_WHICH} AND (:device = '' OR device = :device) AND (:metric = '' OR metric = :metric)
    AND start >= :start AND start < :end
    ORDER BY start DESC, site DESC, device DESC, metric DESC LIMIT :limit)
ORDER BY site, device, metric, labels, start
"""  # noqa: S608 - made of the constants above; what is asked for is bound by name
_COUNT = f"SELECT count(*), coalesce(sum(count), 0) FROM series JOIN windows ON series = id WHERE {_WHICH}"  # noqa: S608 - as above


def open_file(path: Path, timeout_s: float) -> apsw.Connection:
    """Open the store's file, create it if need be."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = apsw.Connection(str(path))
    db.set_busy_timeout(round(timeout_s * 1000))
    db.execute(_SCHEMA).fetchall()  # a PRAGMA answers with a row: the rest runs once it is read
    _add_missing_columns(db)
    return db


def write_rows(db: apsw.Connection, batch: RollupBatch, rows: NDArray[np.intp]) -> None:
    """Write the batch's rows of these indexes; a window that is there is replaced."""
    columns = [batch.column(name)[rows].tolist() for name in COLUMNS]
    details = detail_fields(batch)
    for name in DETAIL_FIELDS:
        found = details[name][rows].tolist() if name in details else [None] * len(rows)
        columns.append([None if value != value else value for value in found])  # noqa: PLR0124 - NaN becomes NULL
    with transaction(db):
        db.executemany(_WRITE, zip(_series_ids(db, batch, rows), *columns, strict=True))


def remove_windows(db: apsw.Connection, tenant: str, windows: Sequence[WindowKey]) -> None:
    """Remove windows by series and start."""
    names = ((tenant, w.site, w.device, w.metric, _labels_text(w.labels), w.start) for w in windows)
    with transaction(db):
        db.executemany(_REMOVE, names)


def read_series(db: apsw.Connection, query: SeriesQuery) -> list[Series]:
    """The newest `limit` windows that match, by series."""
    rows = db.execute(_READ, msgspec.structs.asdict(query))
    found = [_series(name, list(group)) for name, group in groupby(rows, key=lambda row: row[:4])]
    return sorted(found, key=lambda series: (series.site, series.device, series.metric, series.labels))


def count_rows(db: apsw.Connection, tenant: str, site: str) -> StoreTotals:
    """Windows of a tenant, and the samples that they count."""
    ((windows, samples),) = db.execute(_COUNT, {"tenant": tenant, "site": site})
    return StoreTotals(int(windows), int(samples))


def _series_ids(db: apsw.Connection, batch: RollupBatch, rows: NDArray[np.intp]) -> list[int]:
    tenant, site = batch.origin.tenant, batch.origin.site
    labels = [_labels_text(metric.labels) for metric in batch.metrics]
    found: dict[tuple[int, int], int] = {}

    def series_id(device: int, metric: int) -> int:
        if (device, metric) not in found:
            name = (tenant, site, batch.devices[device].device, batch.metrics[metric].name, labels[metric])
            found[device, metric] = _find_or_make(db, name)
        return found[device, metric]

    pairs = zip(batch.column("device")[rows].tolist(), batch.column("metric")[rows].tolist(), strict=True)
    return [series_id(device, metric) for device, metric in pairs]


def _find_or_make(db: apsw.Connection, name: SeriesName) -> int:
    ((number,),) = list(db.execute(_FIND, name)) or list(db.execute(_NEW, name))
    return int(number)


def _labels_text(labels: Labels) -> str:
    return msgspec.json.encode(effective_labels(labels)).decode()


def _series(name: tuple[str, str, str, str], rows: list[tuple[Any, ...]]) -> Series:
    site, device, metric, labels = name
    values = zip(*(row[len(name) :] for row in rows), strict=True)
    names = COLUMNS | dict.fromkeys(DETAIL_FIELDS, np.float64)
    columns = {key: np.array(column, dtype) for (key, dtype), column in zip(names.items(), values, strict=True)}
    details = {name: columns.pop(name) for name in DETAIL_FIELDS}
    details = {name: column for name, column in details.items() if not np.isnan(column).all()}
    decoded = msgspec.json.decode(labels, type=Labels)
    return Series(site=site, device=device, metric=metric, labels=decoded, details=details, **columns)


def _add_missing_columns(db: apsw.Connection) -> None:
    # A file of an earlier release has no details.
    if len(list(db.execute("PRAGMA table_info(windows)"))) == len(_ALL):
        return
    with transaction(db):
        known = {row[1] for row in db.execute("PRAGMA table_info(windows)")}
        for name in DETAIL_FIELDS:
            if name not in known:
                db.execute(f"ALTER TABLE windows ADD COLUMN {name} REAL")
