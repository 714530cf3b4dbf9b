"""Telemetry in the JSON forms of the contract: `{"ts", "metrics"}`, an array of those, or a bare `{name: number}`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from edge_aggregator.decode.tables import Shape
from edge_aggregator.names import OVERFLOW_METRIC, SeriesName
from edge_aggregator.receive.port import Message  # noqa: TC001 - a field of a NamedTuple
from ingest.contract.batch_wire import TEXT_LIMIT
from ingest.contract.reasons import SampleRejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_aggregator.decode.collected import Collected
    from edge_aggregator.decode.tables import Tables

NUMBERS = (int, float)
_MOST_FLOAT_TS = float(1 << 62)


def read_messages(
    messages: Sequence[Message], at: int, tables: Tables, into: Collected, other: Callable[[Message], None]
) -> None:
    """Take what has a shape that is known, the hot path; what needs a closer look is given to `other`, in its turn.

    The types and ranges of the values are checked for all samples at once when the columns are made.
    """
    shapes, loads, most = tables.shapes, orjson.loads, tables.limits.payload_bytes
    for message in messages:
        topic, payload, retain = message
        try:
            document = loads(payload) if len(payload) <= most and not retain else None
        except orjson.JSONDecodeError:
            document = None
        if type(document) is not dict:
            other(message)
            continue
        metrics = document.get("metrics")
        if type(metrics) is dict:
            ts = document.get("ts")
        else:
            metrics, ts = document, document.pop("ts", None)
        shape = shapes.get((topic, *metrics))
        if shape is None or (ts is not None and type(ts) is not int):
            other(message)
            continue
        device, series = shape
        into.series.extend(series)
        into.values.extend(metrics.values())
        into.times.append(tables.give_time(device, at) if ts is None else ts)
        into.sizes.append(len(series))
        into.origins.append(message)
        into.heard.add(device)
    # Parts that `other` took have their arrival already; all of this call's are equal.
    into.arrivals.extend([at] * (len(into.times) - len(into.arrivals)))


class Origin(NamedTuple):
    """A payload, the device that sent it, and when it arrived (ms)."""

    message: Message
    device: int
    at: int


def read_unusual(origin: Origin, tables: Tables, into: Collected) -> None:
    """Take any telemetry payload: what is good in it, and a reason for what is not."""
    message, _, at = origin
    try:
        document = _parse(message.payload)
    except (ValueError, RecursionError) as error:
        into.reject(message, at, SampleRejection.MALFORMED, str(error))
        return
    parts = len(into.times)
    for item in document if type(document) is list else [document]:
        if type(item) is dict:
            _read_object(item, origin, tables, into)
        else:
            into.reject(message, at, SampleRejection.MALFORMED, f"found {type(item).__name__}, expected an object")
    into.repeated.extend(range(parts + 1, len(into.times)))


def _parse(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # Many devices write NaN and Infinity, which JSON does not have: their good neighbours are worth reading.
        if b"NaN" in payload or b"Infinity" in payload or "infinity" in str(error):
            return json.loads(payload, parse_int=float)
        raise


def _read_object(item: dict[str, Any], origin: Origin, tables: Tables, into: Collected) -> None:
    message, device, at = origin
    metrics, ts = item.get("metrics"), item.get("ts")
    if type(metrics) is not dict:
        metrics = {name: value for name, value in item.items() if name != "ts"}
    time = tables.give_time(device, at) if ts is None else _milliseconds(ts)
    if time is None:
        into.reject(message, at, SampleRejection.BAD_TIMESTAMP, f"ts is {ts!r}"[:80], len(metrics))
        return
    key = (message.topic, *metrics)
    shape = tables.shapes.get(key)
    if shape is not None:
        into.part(message, at, time, shape.series, list(metrics.values()))
        return
    series = _take_each(metrics, time, origin, tables, into)
    if len(series) == len(metrics):
        tables.remember(key, Shape(device, series))


def _take_each(metrics: dict[str, Any], time: int, origin: Origin, tables: Tables, into: Collected) -> list[int]:
    message, device, at = origin
    series, values = [], []
    for name, value in metrics.items():
        found = _series(device, name, value, tables)
        if isinstance(found, SampleRejection):
            into.reject(message, at, found, f"metric {name[:TEXT_LIMIT]!r}")
        else:
            series.append(found)
            values.append(value)
    into.part(message, at, time, series, values)
    return series


def _series(device: int, name: str, value: Any, tables: Tables) -> int | SampleRejection:
    # A series comes into being with its first number: texts and nested values are not worth a place in the dictionary.
    if type(value) not in NUMBERS:
        return SampleRejection.NOT_A_NUMBER
    if not name or len(name) > TEXT_LIMIT or not name.isprintable() or name == OVERFLOW_METRIC:
        return SampleRejection.BAD_NAME
    series = tables.names.series_id(SeriesName(device, name))
    if series is None:
        series = tables.names.overflow_id(device)
    return SampleRejection.TOO_MANY_SERIES if series < 0 else series


def _milliseconds(ts: Any) -> int | None:
    if type(ts) is int:
        return ts
    if type(ts) is float and ts.is_integer() and abs(ts) < _MOST_FLOAT_TS:
        return int(ts)
    return None
