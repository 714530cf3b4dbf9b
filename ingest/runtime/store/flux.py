"""Flux texts of what the store asks InfluxDB, and the answers' rows as series."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.records import rfc3339
from ingest.runtime.store.detail_fields import DETAIL_FIELDS
from ingest.runtime.store.port import Series, StoreTotals, StoreUnavailableError
from ingest.runtime.store.tags import FLOAT_FIELDS, INTEGER_FIELDS, MEASUREMENT, is_label, label_of_tag, stored_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ingest.runtime.store.labels import Labels
    from ingest.runtime.store.port import SeriesQuery

LATEST_MS = (1 << 63) // 1_000_000 - 1
"""InfluxDB counts nanoseconds in 63 bits: nothing is later than the year 2262."""

ERROR_LIMIT = 300

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.:/")


def literal(text: str) -> str:
    r"""A Flux string literal: whatever might end or interpolate it is written as the `\xHH` of its UTF-8 bytes."""
    quoted = (char if char in _PLAIN else "".join(f"\\x{byte:02x}" for byte in char.encode()) for char in text)
    return f'"{"".join(quoted)}"'


def read_query(bucket: str, query: SeriesQuery) -> str:
    """The newest `limit` windows that match, as one table with a column per field and tag."""
    wanted = {"site": query.site, "device": query.device, "metric": query.metric}
    return (
        _windows(bucket, query.start, query.end, wanted)
        + f" |> tail(n: {query.limit})"
        + ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        + ' |> group() |> sort(columns: ["_time", "site", "device", "metric"], desc: true)'
        + f" |> limit(n: {query.limit})"
    )


def totals_query(bucket: str, site: str) -> str:
    """Two results of one number each: `windows` and `samples`."""
    counts = _windows(bucket, 0, LATEST_MS, {"site": site}, field="count")
    return (
        f'counts = {counts}\ncounts |> sum() |> group() |> sum() |> yield(name: "samples")\n'
        'counts |> count() |> group() |> sum() |> yield(name: "windows")'
    )


def starts_query(bucket: str, tags: Mapping[str, str], start: int, end: int) -> str:
    """The windows of one series, all of whose tags are given."""
    return _windows(bucket, start, end, tags, field="width") + ' |> keep(columns: ["_time"])'


def delete_predicate(tags: Mapping[str, str]) -> str:
    """Exactly one series, all of whose tags are given, in the delete API's language."""
    return " AND ".join(
        f"{_quoted(key)}={_quoted(value)}" for key, value in {"_measurement": MEASUREMENT, **tags}.items()
    )


def read_totals(answer: str) -> StoreTotals:
    """What `totals_query` was answered; nothing found is zero."""
    found = {row["result"]: int(row["_value"]) for row in _rows(answer)}
    return StoreTotals(found.get("windows", 0), found.get("samples", 0))


def read_starts(answer: str) -> list[int]:
    """Starts in ms, rising: what `starts_query` was answered."""
    return sorted(_milliseconds(row["_time"] for row in _rows(answer)).tolist())


def read_series(answer: str) -> list[Series]:
    """What `read_query` was answered, by (site, device, metric, labels)."""
    by_series: dict[tuple[str, str, str, Labels], list[dict[str, str]]] = defaultdict(list)
    for row in _rows(answer):
        labels = sorted((label_of_tag(key), value) for key, value in row.items() if value and is_label(key))
        by_series[row["site"], row["device"], row["metric"], tuple(labels)].append(row)
    # The answer begins with the newest.
    return [_series(name, by_series[name][::-1]) for name in sorted(by_series)]


def _windows(bucket: str, start: int, end: int, tags: Mapping[str, str], field: str = "") -> str:
    times = f"start: {_time(start)}, stop: {_time(end)}"
    wanted = {"_measurement": MEASUREMENT, "_field": field} | {key: stored_text(value) for key, value in tags.items()}
    filters = " and ".join(f"r[{literal(key)}] == {literal(value)}" for key, value in wanted.items() if value)
    return f"from(bucket: {literal(bucket)}) |> range({times}) |> filter(fn: (r) => {filters})"


def _time(ms: int) -> str:
    return rfc3339(min(max(ms, 0), LATEST_MS))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _rows(answer: str) -> Iterator[dict[str, str]]:
    # An answer is tables apart by empty lines, each under a header of its own.
    header: list[str] = []
    for cells in csv.reader(io.StringIO(answer)):
        if not cells:
            header = []
        elif not header:
            header = cells
        elif header[:2] == ["error", "reference"]:  # what went wrong after the answer had begun
            raise StoreUnavailableError(f"InfluxDB broke off its answer: {cells[0][:ERROR_LIMIT]}")
        else:
            yield dict(zip(header, cells, strict=True))


def _milliseconds(times: Iterable[str]) -> Any:
    stamps = np.array([time.removesuffix("Z") for time in times], dtype="datetime64[ms]")
    return stamps.astype(np.int64)


def _series(name: tuple[str, str, str, Labels], rows: list[dict[str, str]]) -> Series:
    integers = {field: np.array([int(row[field]) for row in rows], np.int64) for field in INTEGER_FIELDS}
    kept = [field for field in FLOAT_FIELDS if field != "mean"]
    floats = {field: np.array([float(row[field]) for row in rows], np.float64) for field in kept}
    columns: dict[str, Any] = dict(chain(integers.items(), floats.items()))
    site, device, metric, labels = name
    start = _milliseconds(row["_time"] for row in rows)
    details = {field: _optional(rows, field) for field in DETAIL_FIELDS if any(row.get(field) for row in rows)}
    return Series(site=site, device=device, metric=metric, labels=labels, start=start, details=details, **columns)


def _optional(rows: list[dict[str, str]], field: str) -> Any:
    return np.array([float(row.get(field) or "nan") for row in rows], np.float64)
