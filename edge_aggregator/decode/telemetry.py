"""Telemetry in the JSON forms of the contract: `{"ts", "metrics"}`, an array of those, or a bare `{name: number}`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from msgspec.structs import astuple

from edge_aggregator.decode.collected import NUMBERS
from edge_aggregator.decode.layout import REFUSED
from edge_aggregator.decode.tables import Shape
from edge_aggregator.metric_facts import OVERFLOW_METRIC
from edge_aggregator.names import SeriesName
from edge_aggregator.receive.port import Message  # noqa: TC001 - a field of a NamedTuple
from ingest.contract.batch_wire import TEXT_LIMIT
from ingest.contract.reasons import SampleRejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.decode.collected import Collected
    from edge_aggregator.decode.tables import Tables

_MOST_FLOAT_TS = float(1 << 62)
_MOST_DIGITS = 20
"""Of a whole number of 64 bits, its sign included."""


def read_messages(
    messages: Sequence[Message], at: int, tables: Tables, into: Collected, other: Callable[[Message], None]
) -> None:
    """Take what is laid out as its topic's messages always are, the hot path; the rest is looked at more closely.

    The ranges of the values are checked for all samples at once when the columns are made.
    """
    ways, most = tables.ways, tables.limits.payload_bytes
    series, times, origins, numbers = into.series.append, into.times.append, into.origins.append, into.numbers
    sizes = into.sizes.append
    for message in messages:
        payload = message.payload
        way = ways.get(message.topic)
        if way is None or message.retain or len(payload) > most:
            read_known(message, at, tables, into, other)
            continue
        try:
            reading = way.read(payload)
        except REFUSED:
            del ways[message.topic]
            read_known(message, at, tables, into, other)
            continue
        series(way.series)
        # Packed at once, the numbers themselves live for a moment only: twenty thousand of them would fill the cache.
        numbers += way.pack(*astuple(reading.metrics))
        times(reading.ts)
        origins(message)
        sizes(len(payload))
    # Parts that were looked at more closely have their arrival already; all of this call's are equal.
    into.arrivals.extend([at] * (len(into.times) - len(into.arrivals)))


def read_known(message: Message, at: int, tables: Tables, into: Collected, other: Callable[[Message], None]) -> None:
    """Take a message that has a shape which is known; what has none is given to `other`, in its turn."""
    topic, payload = message.topic, message.payload
    try:
        small = len(payload) <= tables.limits.payload_bytes
        document = orjson.loads(payload) if small and not message.retain else None
    except orjson.JSONDecodeError:
        document = None
    if type(document) is not dict:
        other(message)
        return
    metrics, ts, laid_out = _opened(document)
    shape = tables.shapes.get((topic, *metrics))
    if shape is None or (ts is not None and type(ts) is not int):
        other(message)
        return
    if laid_out:
        tables.met(topic, tuple(metrics), shape)
    time = tables.give_time(shape.device, at) if ts is None else ts
    into.arrivals.extend([at] * (len(into.times) - len(into.arrivals)))
    into.part(message, at, time, shape.series, metrics.values())
    into.heard.add(shape.device)


def _opened(document: dict[str, Any]) -> tuple[dict[str, Any], Any, bool]:
    """Metrics, timestamp, and whether the document may have a layout."""
    metrics = document.get("metrics")
    if type(metrics) is dict:
        return metrics, document.get("ts"), len(document) == len(("ts", "metrics"))
    return document, document.pop("ts", None), False


class Origin(NamedTuple):
    """A payload, the device that sent it, and when it arrived (ms)."""

    message: Message
    device: int
    at: int


def read_unusual(origin: Origin, tables: Tables, into: Collected) -> None:
    """Take any telemetry payload: what is good in it, and a reason for what is not."""
    message, device, at = origin
    try:
        document = _parse(message.payload)
    except (ValueError, RecursionError) as error:
        into.reject(message, at, SampleRejection.MALFORMED, str(error), device=device)
        return
    parts = len(into.times)
    for item in document if type(document) is list else [document]:
        if type(item) is dict:
            _read_object(item, origin, tables, into)
        else:
            detail = f"found {type(item).__name__}, expected an object"
            into.reject(message, at, SampleRejection.MALFORMED, detail, device=device)
    into.repeated.extend(range(parts + 1, len(into.times)))


def _parse(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # Many devices write NaN and Infinity, which JSON does not have: their good neighbours are worth reading.
        if b"NaN" in payload or b"Infinity" in payload or "infinity" in str(error):
            return json.loads(payload, parse_int=_whole)
        raise


def _whole(digits: str) -> int | float:
    # As orjson has it: exact as far as 64 bits go, a float beyond. Python's own reading refuses very long ones.
    if len(digits) > _MOST_DIGITS:
        return float(digits)
    number = int(digits)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _read_object(item: dict[str, Any], origin: Origin, tables: Tables, into: Collected) -> None:
    message, device, at = origin
    metrics, ts = item.get("metrics"), item.get("ts")
    if type(metrics) is not dict:
        metrics = {name: value for name, value in item.items() if name != "ts"}
    time = tables.give_time(device, at) if ts is None else _milliseconds(ts)
    if time is None:
        detail = f"ts is {ts!r}"[:80]
        into.reject(message, at, SampleRejection.BAD_TIMESTAMP, detail, len(metrics), device=device)
        return
    key = (message.topic, *metrics)
    shape = tables.shapes.get(key)
    if shape is not None:
        into.part(message, at, time, shape.series, metrics.values())
        return
    series = _take_each(metrics, time, origin, tables, into)
    if len(series) == len(metrics):
        tables.remember(key, Shape(device, series))


def _take_each(
    metrics: dict[str, Any], time: int, origin: Origin, tables: Tables, into: Collected
) -> NDArray[np.int64]:
    message, device, at = origin
    series, values = [], []
    refused = [_refused(name, value) for name, value in metrics.items()]
    tables.names.welcome([SeriesName(device, name) for name, why in zip(metrics, refused, strict=True) if not why])
    for (name, value), why in zip(metrics.items(), refused, strict=True):
        found = why or _series(device, name, tables)
        if isinstance(found, SampleRejection):
            into.reject(message, at, found, f"metric {name[:TEXT_LIMIT]!r}", device=device)
        else:
            series.append(found)
            values.append(value)
    taken = np.array(series, np.int64)
    into.part(message, at, time, taken, values)
    return taken


def _series(device: int, name: str, tables: Tables) -> int | SampleRejection:
    series = tables.names.series_id(SeriesName(device, name))
    if series is None:
        series = tables.names.overflow_id(device)
    return SampleRejection.TOO_MANY_SERIES if series < 0 else series


def _refused(name: str, value: Any) -> SampleRejection | None:
    # A series comes into being with its first number: texts and nested values are not worth a place in the dictionary.
    if type(value) not in NUMBERS:
        return SampleRejection.NOT_A_NUMBER
    if not name or len(name) > TEXT_LIMIT or not name.isprintable() or name == OVERFLOW_METRIC:
        return SampleRejection.BAD_NAME
    return None


def _milliseconds(ts: Any) -> int | None:
    if type(ts) is int:
        return ts
    if type(ts) is float and ts.is_integer() and abs(ts) < _MOST_FLOAT_TS:
        return int(ts)
    return None
