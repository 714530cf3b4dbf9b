"""Rollups as InfluxDB line protocol, built by column: one list of byte strings per row's parts, joined once.

Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/ . Tags and fields stand in sorted order,
as InfluxDB advises, and byte for byte as influxdb-client's `Point` writes them, but for the form of floats (1e16 against 1e+16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from ingest.runtime.store.detail_fields import DETAIL_INTEGERS, detail_fields
from ingest.runtime.store.tags import FIELDS, INTEGER_FIELDS, MEASUREMENT, metric_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ingest.contract.batch import MetricRow, RollupBatch

_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\n": r"\n", "\t": r"\t", "\r": r"\r"})


class _MetricText(NamedTuple):
    """What stands in a line before and after its device, tags in order."""

    head: bytes
    tail: bytes


def encode_rows(batch: RollupBatch, rows: NDArray[np.intp]) -> bytes:
    """Lines of the batch's rows of these indexes, shape (n,), timestamps in ms; ends with a newline unless empty."""
    if not batch.details:
        return _encode(batch, rows, {})
    found = {name: column[rows] for name, column in detail_fields(batch).items()}
    # Rows that have the same fields are written together.
    has = np.stack([~np.isnan(column) for column in found.values()], axis=1)
    kinds, kind = np.unique(has, axis=0, return_inverse=True)
    lines = []
    for index, fields in enumerate(kinds.tolist()):
        which = np.flatnonzero(kind == index)
        extra = {name: found[name][which] for name, there in zip(found, fields, strict=True) if there}
        lines.append(_encode(batch, rows[which], extra))
    return b"".join(lines)


def _encode(batch: RollupBatch, rows: NDArray[np.intp], extra: dict[str, NDArray[Any]]) -> bytes:
    if not len(rows):
        return b""
    columns = {name: batch.column(name)[rows] for name in batch.columns}
    columns["mean"] = columns["sum"] / columns["count"]
    for name, column in extra.items():
        columns[name] = column.astype(np.int64) if name in DETAIL_INTEGERS else column
    line, filled = _line_pattern(columns, sorted((*FIELDS, *extra)))
    parts = line * len(rows)
    for place, texts in enumerate(_series_texts(batch, columns)):
        parts[place :: len(line)] = texts
    for place, column in filled.items():
        parts[place :: len(line)] = _numbers(column)
    return b"".join(parts)


def escaped(text: str) -> str:
    """A tag key or value as it stands in a line."""
    return text.translate(_ESCAPES)


def _line_pattern(
    columns: Mapping[str, NDArray[Any]], fields: Sequence[str]
) -> tuple[list[bytes], dict[int, NDArray[Any]]]:
    # One row's parts, constants in place: every part that differs between rows costs a list of its own.
    parts, constant = [b"", b"", b""], b""
    filled: dict[int, NDArray[Any]] = {}
    for name in (*fields, "start"):
        constant += b" " if name == "start" else b"," * bool(constant or filled) + name.encode() + b"="
        if (columns[name] == columns[name][0]).all():
            constant += _numbers(columns[name][:1])[0]
        else:
            filled[len(parts) + 1] = columns[name]
            parts += [constant, b""]
            constant = b""
        constant += b"i" * (name in INTEGER_FIELDS or name in DETAIL_INTEGERS)
    return [*parts, constant + b"\n"], filled


def _numbers(column: NDArray[Any]) -> list[bytes]:
    # orjson writes the shortest text that reads back as the same number, a whole column at a time.
    text = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",")


def _series_texts(batch: RollupBatch, columns: Mapping[str, NDArray[Any]]) -> tuple[list[bytes], ...]:
    devices = _objects([f"device={escaped(row.device)}".encode() for row in batch.devices])
    metrics = [_metric_text(batch.origin.site, row) for row in batch.metrics]
    heads, tails = _objects([m.head for m in metrics]), _objects([m.tail for m in metrics])
    of_device, of_metric = columns["device"], columns["metric"]
    return heads[of_metric].tolist(), devices[of_device].tolist(), tails[of_metric].tolist()


def _metric_text(site: str, metric: MetricRow) -> _MetricText:
    tags = sorted((metric_tags(metric) | {"site": site}).items())
    before = "".join(f"{escaped(key)}={escaped(value)}," for key, value in tags if key < "device")
    after = "".join(f",{escaped(key)}={escaped(value)}" for key, value in tags if key > "device")
    return _MetricText(f"{MEASUREMENT},{before}".encode(), f"{after} ".encode())


def _objects(texts: list[bytes]) -> NDArray[Any]:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
