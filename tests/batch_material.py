"""Batches for the contract's tests: a strategy for sound ones, and what "sound" means, said with naive loops."""

from __future__ import annotations

import functools
import math
import operator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from ingest.contract.batch import COLUMNS, REPLACED_COLUMNS, DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.batch_checks import MAX_NUMBER, REASONS_LIMIT, TEXT_LIMIT
from ingest.contract.ledger import LedgerEntry
from ingest.contract.records import LATEST_MS
from ingest.contract.topics import is_name
from tests.detail_material import detail_faults, draw_details, same_details

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,8}", fullmatch=True)
texts = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=5)
filled = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=5)
counts = st.integers(0, MAX_NUMBER)
labels = st.dictionaries(filled, texts, max_size=2).map(lambda pairs: tuple(sorted(pairs.items())))
tallies = st.dictionaries(filled, counts, max_size=2)
DEVICES, METRICS = 3, 2
WIDEST = (1 << 32) - 1
EDGES = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e-310,
    0.1,
    0.1 + 0.2,
    -273.15,
    1e22,
    2.0**53,
    2.0**53 + 2,
    1e150,
    -1e150,
    1.7e308,
]


@st.composite
def batches(draw: st.DrawFn) -> RollupBatch:
    """What a gateway may send; the numbers in the columns come from a generator, of all magnitudes."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    statistics = draw(st.sampled_from([any_statistics, special_statistics, decimal_statistics]))
    columns, replaces = _rows(rng, draw(st.integers(0, 6)), statistics), _windows(rng, draw(st.sampled_from([0, 0, 2])))
    seq = draw(st.integers(0, MAX_NUMBER))
    free = columns["revision"].any() or len(replaces["device"])
    net = draw(st.integers(-MAX_NUMBER, MAX_NUMBER)) if free else int(columns["count"].sum(dtype=np.int64))
    return RollupBatch(
        version=draw(st.sampled_from([1, 2, 2])),
        origin=Origin(*draw(st.tuples(names, names, names, names))),
        seq=seq,
        created=draw(st.integers(0, LATEST_MS)),
        historical=draw(st.booleans()),
        devices=[DeviceRow(name, draw(texts), "rev-a", draw(texts)) for name in draw(_distinct(names, DEVICES))],
        metrics=[MetricRow(name, draw(texts), "gauge", draw(labels)) for name in draw(_distinct(filled, METRICS))],
        columns=columns,
        replaces=replaces,
        details=draw_details(rng, columns["count"]),
        ledger=draw(entries(seq, net)),
    )


def entries(seq: int, net: int) -> st.SearchStrategy[LedgerEntry]:
    return st.builds(
        LedgerEntry,
        seq=st.just(seq),
        received=counts,
        rolled_up=counts,
        duplicate=counts,
        rejected=tallies,
        dropped=tallies,
        open=counts,
        net=st.just(net),
        previous=st.binary(min_size=32, max_size=32),
    )


def _distinct(strategy: st.SearchStrategy[str], size: int) -> st.SearchStrategy[list[str]]:
    return st.lists(strategy, min_size=size, max_size=size, unique=True)


def _rows(rng: np.random.Generator, rows: int, statistics: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    columns = _windows(rng, rows) | statistics(rng, rows)
    columns["revision"] = rng.integers(0, 9, rows) * rng.integers(0, 2)
    return {name: np.asarray(columns[name]).astype(dtype) for name, dtype in COLUMNS.items()}


def any_statistics(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Numbers of all magnitudes that have nothing to do with each other."""
    low, last, high = np.sort(_numbers(rng, (3, rows)), axis=0)
    drawn = {"sum": _numbers(rng, rows), "sumsq": abs(_numbers(rng, rows)), "min": low, "max": high, "last": last}
    return drawn | {"count": rng.integers(1, WIDEST, rows)}


def special_statistics(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Numbers that have bits of their own: both zeros, the least and the greatest ones."""
    low, last, high = np.sort(rng.choice(EDGES, (3, rows)), axis=0)
    drawn = {"sum": rng.choice(EDGES, rows), "sumsq": abs(rng.choice(EDGES, rows)), "min": low, "max": high}
    return drawn | {"last": last, "count": rng.integers(1, 4, rows)}


def decimal_statistics(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Windows of samples as devices print them, added up from left to right; some have one odd sample."""
    return _of_windows([_decimal_window(rng) for _ in range(rows)])


def level_statistics(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Windows of a sensor behind a converter: few values, far apart."""
    count = [int(rng.integers(1, 13)) for _ in range(rows)]
    return _of_windows([[round(0.054711 + 0.327927 * int(n), 6) for n in rng.integers(-4, 5, c)] for c in count])


def _of_windows(drawn: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        "count": [len(window) for window in drawn],
        "sum": [functools.reduce(operator.add, window, 0.0) for window in drawn],
        "sumsq": [functools.reduce(lambda total, x: total + x * x, window, 0.0) for window in drawn],
        "min": [min(window) for window in drawn],
        "max": [max(window) for window in drawn],
        "last": [window[-1] for window in drawn],
    }


def _decimal_window(rng: np.random.Generator) -> list[float]:
    places, level = int(rng.integers(0, 9)), 10.0 ** rng.integers(-2, 13)
    noise = level * 10.0 ** -rng.integers(0, 9)
    window = [round(float(x), places) + 0.0 for x in rng.normal(level, noise, int(rng.integers(1, 13)))]
    return [*window, 0.1 + 0.2] if rng.random() < 0.2 else window


def _windows(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    # Random starts never meet: windows are distinct.
    columns = {
        "device": rng.integers(0, DEVICES, rows),
        "metric": rng.integers(0, METRICS, rows),
        "start": rng.integers(0, LATEST_MS - WIDEST, rows),
        "width": rng.integers(1, WIDEST, rows),
    }
    return {name: columns[name].astype(dtype) for name, dtype in REPLACED_COLUMNS.items()}


def _numbers(rng: np.random.Generator, shape: int | tuple[int, int]) -> Any:
    return rng.normal(size=shape) * 10.0 ** rng.integers(-150, 150, shape)


def same(one: RollupBatch, other: RollupBatch) -> bool:
    """Equal in every bit of every column and in all else."""
    plain = all(
        getattr(one, name) == getattr(other, name)
        for name in ("origin", "seq", "created", "historical", "devices", "metrics", "ledger", "version")
    )
    pairs = [(one.columns[name], other.columns[name]) for name in COLUMNS]
    pairs += [(one.replaces.get(name, ()), other.replaces.get(name, ())) for name in REPLACED_COLUMNS]
    plain = plain and same_details(one.details, other.details)
    return plain and all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def faults(batch: RollupBatch) -> list[str]:
    """What is wrong with a batch: all that the decoder promises, row by row. Empty for a sound one."""
    return [
        *(f"name {n!r}" for n in (*batch.origin, *(d.device for d in batch.devices)) if not is_name(n)),
        *(f"text {t!r}" for t in _texts(batch) if len(t) > TEXT_LIMIT or not t.isprintable()),
        *(f"metric {m}" for m in batch.metrics if not m.name or not _sorted_labels(m.labels)),
        *(f"row {row}" for row in range(len(batch)) if not _sound_row(batch, row)),
        *(
            f"replaced {row}"
            for row in range(len(batch.replaces["device"]))
            if not _sound_window(batch, batch.replaces, row)
        ),
        *([] if _all_distinct(batch) else ["a window twice"]),
        *_ledger_faults(batch),
        *detail_faults(batch.details, batch.columns["count"].tolist()),
    ]


def _texts(batch: RollupBatch) -> list[str]:
    found = [text for device in batch.devices for text in (device.firmware, device.hardware, device.group)]
    for metric in batch.metrics:
        found += [metric.name, metric.unit, metric.kind, *(text for pair in metric.labels for text in pair)]
    return [*found, *batch.ledger.rejected, *batch.ledger.dropped]


def _sorted_labels(pairs: Sequence[tuple[str, str]]) -> bool:
    found = [name for name, _ in pairs]
    return "" not in found and all(one < other for one, other in pairwise(found))


def _sound_window(batch: RollupBatch, columns: dict[str, Any], row: int) -> bool:
    device, metric, start, width = (int(columns[name][row]) for name in REPLACED_COLUMNS)
    inside = device < len(batch.devices) and metric < len(batch.metrics)
    return inside and width > 0 and start >= 0 and start + width <= LATEST_MS


def _sound_row(batch: RollupBatch, row: int) -> bool:
    total, squares, low, high, last = (float(batch.columns[n][row]) for n in ("sum", "sumsq", "min", "max", "last"))
    finite = all(math.isfinite(number) for number in (total, squares, low, high, last))
    possible = low <= last <= high and squares >= 0 and int(batch.columns["count"][row]) > 0
    return finite and possible and _sound_window(batch, batch.columns, row)


def _all_distinct(batch: RollupBatch) -> bool:
    seen = set()
    for row in range(len(batch)):
        device, metric, start, width = (int(batch.columns[name][row]) for name in REPLACED_COLUMNS)
        if device >= len(batch.devices) or metric >= len(batch.metrics):
            return True  # said elsewhere
        series = batch.metrics[metric]
        seen.add((batch.devices[device].device, series.name, series.labels, start, width))
    return len(seen) == len(batch)


def _ledger_faults(batch: RollupBatch) -> list[str]:
    entry = batch.ledger
    plain = (entry.received, entry.rolled_up, entry.duplicate, entry.open, batch.seq)
    numbers = (*plain, *entry.rejected.values(), *entry.dropped.values())
    faults_found = [f"number {n}" for n in (*numbers, abs(entry.net)) if not 0 <= n <= MAX_NUMBER]
    faults_found += ["created"] if not 0 <= batch.created <= LATEST_MS else []
    faults_found += ["seq"] if entry.seq != batch.seq else []
    faults_found += ["previous"] if len(entry.previous) != 32 else []
    faults_found += ["reasons"] if len(entry.rejected) + len(entry.dropped) > REASONS_LIMIT else []
    first = not any(batch.columns["revision"].tolist()) and not len(batch.replaces["device"])
    return faults_found + (["net"] if first and sum(batch.columns["count"].tolist()) != entry.net else [])
