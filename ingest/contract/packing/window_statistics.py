"""The statistics of windows as bytes and back: whole numbers by class where they are decimals, else as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.contract.packing.bits import unzigzag, zigzag
from ingest.contract.packing.class_codes import (
    ALL_ZERO,
    Starts,
    decode_heights,
    decode_numbers,
    encode_heights,
    encode_numbers,
)
from ingest.contract.packing.decimals import MOST_PLACES, as_floats, from_ordered_bits, ordered_bits
from ingest.contract.packing.intervals import Within, decode_inside, encode_inside
from ingest.contract.packing.places import WINDOWS, best_places, classes_of, spread_out
from ingest.contract.packing.rice import MOST_LOW_BITS, BadCodeError
from ingest.contract.packing.runs import decode_runs, encode_runs
from ingest.contract.packing.window_levels import Heights, from_levels, to_levels
from ingest.contract.packing.window_rows import by_class, free_pairs, rises, whole_windows
from ingest.contract.packing.window_shape import expected_sums, pair_bounds, shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

    Table = NDArray[np.void]

FLOATS = ("sum", "sumsq", "min", "max", "last")
CLASS = np.dtype(
    [
        ("base", "<i8"),
        ("places", "u1"),
        ("way", "u1"),
        ("low", "u1"),
        ("spread", "u1"),
        ("last", "u1", 2),
        ("total", "u1", 2),
        ("pairs", "u1", 2),
        ("sum", "u1"),
        ("sumsq", "u1"),
    ]
)
"""A class: how the whole numbers of its windows are coded."""
BY_LEVEL = 2
"""In a class's `way`: the heights are numbers of levels; 1: `low` is chained."""
BUFFERS = (
    "classes",
    "class_of",
    "levels",
    "low",
    "spread",
    "last",
    "total",
    "pairs",
    "sum",
    "sumsq",
    "kept",
    "kept_values",
)


def encode_statistics(columns: Mapping[str, NDArray[Any]], metrics: int) -> dict[str, bytes]:
    """The five float columns, shape (rows,), with the help of `metric` and `count`, as the buffers of `BUFFERS`."""
    metric = columns["metric"].astype(np.int64)
    values = [columns[name] for name in ("min", "max", "last")]
    likely, whole = best_places(values, metric, metrics, spread_out(len(metric)), WINDOWS)
    places = np.minimum(likely, MOST_PLACES)
    class_of, places_of = classes_of(places, np.bincount(metric, minlength=metrics))
    windows = whole_windows(columns, whole, class_of[metric], places[metric])
    sums, squares = columns["sum"][windows.row], columns["sumsq"][windows.row]
    pairs, room, least = free_pairs(windows, squares)
    of, known, classes = windows.group, windows.known, len(places_of)
    table, buffers = np.zeros(classes, CLASS), {"class_of": class_of.astype("<u2").tobytes()}
    table["places"] = places_of
    heights, by_level, buffers["levels"] = to_levels(Heights(known.low, known.spread, windows.last), of, classes)
    buffers["low"], start = encode_heights(heights.low, of, classes)
    table["base"], table["way"], table["low"] = start.base, start.chained + BY_LEVEL * by_level, start.parameter
    buffers["spread"], table["spread"] = encode_numbers(heights.spread.view(np.uint64), of, classes)
    inside = {
        "last": (heights.last, heights.spread),
        "total": (windows.total, known.free * known.spread),
        "pairs": (pairs, room),
    }
    for name, (numbers, width) in inside.items():
        buffers[name], within = encode_inside(numbers, width, of, classes)
        table[name] = np.stack(within, axis=-1)
    guesses = expected_sums(known, windows.total, pairs + least, windows.places)
    for name, found, guess in zip(("sum", "sumsq"), (sums, squares), guesses, strict=True):
        off = zigzag(ordered_bits(found) - ordered_bits(guess))
        buffers[name], table[name] = encode_numbers(off, of, classes)
    return buffers | {"classes": table.tobytes()} | _encode_kept(columns, windows.row)


def decode_statistics(
    buffers: Mapping[str, bytes], metric: Integers, count: Integers, metrics: int
) -> dict[str, Floats]:
    """The float columns, shape (rows,) like `metric` (below `metrics`) and `count`. Raises BadCodeError; KeyError when a buffer is missing."""
    table, class_of = _classes(buffers, metrics)
    kept = _kept_rows(buffers, len(metric))
    group, row = class_of[metric], np.delete(np.arange(len(metric)), kept)
    if not rises(group[row]):
        row = by_class(group, row)
    decimals = _decimals(buffers, table, group[row], count[row])
    values = _planes_read(buffers["kept_values"], len(kept))
    columns = {name: np.empty(len(metric)) for name in FLOATS}
    for position, name in enumerate(FLOATS):
        columns[name][row] = decimals[name]
        columns[name][kept] = values[position]
    return columns


def _decimals(buffers: Mapping[str, bytes], table: Table, of: Integers, count: Integers) -> dict[str, Floats]:
    places = table["places"].astype(np.int64)[of]
    start = Starts(table["base"].astype(np.int64), table["way"] % BY_LEVEL > 0, table["low"])
    low = decode_heights(buffers["low"], of, start)
    spread = decode_numbers(buffers["spread"], of, table["spread"]).view(np.int64)
    heights = Heights(low, spread, _inside("last", buffers, table, spread, of))
    low, spread, last = from_levels(heights, of, table["way"] >= BY_LEVEL, buffers["levels"])
    known = shape(count, low, spread, last)
    total = _inside("total", buffers, table, known.free * spread, of)
    least, room = pair_bounds(known, total)
    pairs = _inside("pairs", buffers, table, room, of) + least
    found = dict(zip(("sum", "sumsq"), expected_sums(known, total, pairs, places), strict=True))
    for name, guess in found.items():
        off = unzigzag(decode_numbers(buffers[name], of, table[name]))
        found[name] = from_ordered_bits(ordered_bits(guess) + off)
    whole = {"min": low, "max": low + spread, "last": low + last}
    return found | {name: as_floats(numbers, places) for name, numbers in whole.items()}


def _inside(name: str, buffers: Mapping[str, bytes], table: Table, width: Integers, of: Integers) -> Integers:
    within = Within(*table[name].astype(np.int64).T)
    return decode_inside(buffers[name], width, of, within)


def _classes(buffers: Mapping[str, bytes], metrics: int) -> tuple[Table, Integers]:
    if len(buffers["classes"]) % CLASS.itemsize or len(buffers["class_of"]) != 2 * metrics:
        raise BadCodeError(f"classes of {len(buffers['class_of'])} bytes for {metrics} metrics")
    table = np.frombuffer(buffers["classes"], CLASS)
    class_of = np.frombuffer(buffers["class_of"], "<u2").astype(np.int64)
    parameters = np.stack([table[name] for name in ("low", "spread", "sum", "sumsq")])
    if (
        int(class_of.max(initial=-1)) >= len(table)
        or (table["places"] > MOST_PLACES).any()
        or (table["way"] >= 2 * BY_LEVEL).any()
    ):
        raise BadCodeError("a class that is not there, or is coded in no known way")
    if ((parameters > MOST_LOW_BITS) & (parameters != ALL_ZERO)).any():
        raise BadCodeError(f"a parameter beyond {MOST_LOW_BITS}")
    return table, class_of


def _encode_kept(columns: Mapping[str, NDArray[Any]], whole: Integers) -> dict[str, bytes]:
    kept = np.delete(np.arange(len(columns["metric"])), whole)
    values = np.stack([columns[name][kept].astype("<f8") for name in FLOATS])
    planes = values.view(np.uint8).reshape(len(FLOATS), len(kept), 8).transpose(0, 2, 1)
    return {"kept": encode_runs(kept), "kept_values": planes.tobytes()}


def _kept_rows(buffers: Mapping[str, bytes], rows: int) -> Integers:
    count = len(buffers["kept_values"]) // (8 * len(FLOATS))
    kept = decode_runs(buffers["kept"], count) if count <= rows else np.array([rows])
    if (np.diff(kept, prepend=-1) <= 0).any() or int(kept.max(initial=-1)) >= rows:
        raise BadCodeError(f"{count} rows that are kept as they are, of {rows}")
    return kept


def _planes_read(data: bytes, count: int) -> Floats:
    if len(data) != 8 * len(FLOATS) * count:
        raise BadCodeError(f"{len(data)} bytes for {count} rows that are kept as they are")
    planes = np.frombuffer(data, np.uint8).reshape(len(FLOATS), 8, count)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<f8").reshape(len(FLOATS), count)
