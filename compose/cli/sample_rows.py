"""Chunks of samples, as the API gives them, to lines: rows exist only here."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ingest.contract.records import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Chunks = Iterable[dict[str, Any]]


class Row(NamedTuple):
    """One sample."""

    ts: int
    device: str
    metric: str
    labels: dict[str, str]
    value: float


def text_lines(chunks: Chunks) -> Iterator[str]:
    """Time, device, metric with labels, value; tabs between, so that `cut` and `sort` work on it."""
    for row in _rows(chunks):
        yield f"{rfc3339(row.ts)}\t{row.device}\t{_named(row)}\t{row.value!r}\n"


def json_lines(chunks: Chunks) -> Iterator[str]:
    """One JSON object a line."""
    for row in _rows(chunks):
        yield msgspec.json.encode(row._asdict()).decode() + "\n"


def csv_lines(chunks: Chunks) -> Iterator[str]:
    """CSV (RFC 4180) with a header; labels are one JSON object."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(Row._fields)
    for row in _rows(chunks):
        writer.writerow(row._replace(labels=msgspec.json.encode(row.labels).decode()))  # type: ignore[arg-type]
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


FORMATS: dict[str, Callable[[Chunks], Iterator[str]]] = {"text": text_lines, "json": json_lines, "csv": csv_lines}


def _rows(chunks: Chunks) -> Iterator[Row]:
    for chunk in chunks:
        table = chunk["table"]
        for series, ts, value in zip(chunk["series"], chunk["ts"], chunk["value"], strict=True):
            yield Row(ts=ts, value=value, **table[series])


def _named(row: Row) -> str:
    inner = ",".join(f"{name}={value}" for name, value in row.labels.items())
    return f"{row.metric}{{{inner}}}" if inner else row.metric
