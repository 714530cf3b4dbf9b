"""What a batch must be before anybody believes it: the decoder's checks, each with the reason it gives."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ingest.contract.ledger import GENESIS
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import LATEST_MS
from ingest.contract.topics import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from ingest.contract.batch import DeviceRow, MetricRow, Origin
    from ingest.contract.ledger import LedgerEntry, Spans

    Columns = dict[str, NDArray[Any]]

MAX_ROWS = 200_000
MAX_NUMBER = 1 << 53
"""What every reader of JSON holds exactly."""

TEXT_LIMIT = 256
REASONS_LIMIT = 64
CLASSES_LIMIT = 64
SPANS_LIMIT = 256
"""Intervals of seqs that an entry names in `replaces`, and as many in `gone`."""

_NAMES = re.compile(f"(?:{NAME_PATTERN.pattern}\n)*{NAME_PATTERN.pattern}")
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd number of many bits (SplitMix64's): a product's high bits depend on all bits of the factor."""


class BadBatchError(ValueError):
    """A batch that cannot be taken; `reason` says why, `detail` what was found."""

    def __init__(self, reason: BatchRejection, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def columns_of(buffers: dict[str, bytes], spec: dict[str, np.dtype[Any]]) -> Columns:
    """Each buffer as a read-only array of its column's dtype, all of one length; columns of no known name are ignored.

    Raises BadBatchError (column_missing, column_length, too_many_rows).
    """
    missing = spec.keys() - buffers.keys()
    if missing:
        raise BadBatchError(BatchRejection.COLUMN_MISSING, ", ".join(sorted(missing)))
    rows = len(buffers["device"]) // spec["device"].itemsize
    if rows > MAX_ROWS:
        raise BadBatchError(BatchRejection.TOO_MANY_ROWS, f"{rows} rows, at most {MAX_ROWS}")
    for name, dtype in spec.items():
        found, expected = len(buffers[name]), rows * dtype.itemsize
        if found != expected:
            raise BadBatchError(BatchRejection.COLUMN_LENGTH, f"{name}: {found} bytes, expected {expected}")
    return {name: np.frombuffer(buffers[name], dtype) for name, dtype in spec.items()}


def check_names(origin: Origin, devices: Sequence[DeviceRow], metrics: Sequence[MetricRow]) -> None:
    """Names may be topic levels and tags; all other text is short and printable. Raises BadBatchError (bad_name)."""
    names = [*origin, *[row.device for row in devices]]
    lines = "\n".join(names)
    if _NAMES.fullmatch(lines) is None or lines.count("\n") != len(names) - 1:
        raise _bad_name(next(name for name in names if not NAME_PATTERN.fullmatch(name)))
    check_texts({text for row in devices for text in (row.firmware, row.hardware, row.group)})
    check_texts({text for row in metrics for text in (row.name, row.unit, row.kind, *chain(*row.labels))})
    for row in metrics:
        labels = [name for name, _ in row.labels]
        if not row.name or "" in labels or labels != sorted(set(labels)):
            raise _bad_name(f"{row.name}{row.labels}")


def check_texts(texts: Collection[str]) -> None:
    """Short and printable. Raises BadBatchError (bad_name)."""
    if not "".join(texts).isprintable() or max(map(len, texts), default=0) > TEXT_LIMIT:
        raise _bad_name(next(text for text in texts if not text.isprintable() or len(text) > TEXT_LIMIT))


def _bad_name(text: str) -> BadBatchError:
    return BadBatchError(BatchRejection.BAD_NAME, ascii(text[:64]))


def check_windows(columns: Columns, devices: Sequence[DeviceRow], metrics: Sequence[MetricRow]) -> None:
    """Indexes lie in their tables, windows in time. Raises BadBatchError (index_out_of_bounds, bad_value)."""
    if not len(columns["device"]):
        return
    for name, size in (("device", len(devices)), ("metric", len(metrics))):
        if (found := int(columns[name].max())) >= size:
            raise BadBatchError(BatchRejection.INDEX_OUT_OF_BOUNDS, f"{name} {found} of {size}")
    start, width = columns["start"], columns["width"]
    _require((width > 0) & (start >= 0) & (start <= LATEST_MS - width.astype(np.int64)), "start or width")


def check_statistics(columns: Columns) -> None:
    """Every window has samples and finite statistics that can be theirs. Raises BadBatchError (bad_value)."""
    minimum, maximum, last = columns["min"], columns["max"], columns["last"]
    with np.errstate(invalid="ignore"):  # comparing a signalling NaN is no reason for a warning
        ordered = (minimum <= last) & (last <= maximum) & (columns["sumsq"] >= 0)
        finite = (
            np.isfinite(columns["sum"]) & np.isfinite(columns["sumsq"]) & np.isfinite(minimum) & np.isfinite(maximum)
        )
    _require((columns["count"] > 0) & ordered & finite, "count or statistics")


def check_distinct(columns: Columns, devices: Sequence[DeviceRow], metrics: Sequence[MetricRow]) -> None:
    """No window of a series comes twice, also not through two entries of a table. Raises BadBatchError (bad_value)."""
    device = _by_name(columns["device"], [row.device for row in devices])
    metric = _by_name(columns["metric"], [(row.name, row.labels) for row in metrics])
    # Device and width fill 64 bits exactly; start and metric nearly do, so that unequal windows may become equal here.
    window = (device << np.uint64(32)) | columns["width"]
    window *= _MIX
    window ^= (columns["start"].view("<u8") << np.uint64(11)) ^ metric
    window.sort()
    if (window[1:] == window[:-1]).any() and _any_equal((device, metric, columns["start"], columns["width"])):
        raise BadBatchError(BatchRejection.BAD_VALUE, "the same window twice in one batch")


def _by_name(indexes: NDArray[Any], names: Sequence[Any]) -> NDArray[np.uint64]:
    number = dict(zip(names, range(len(names)), strict=True))
    if len(number) == len(names):
        return indexes.astype(np.uint64)
    by_name: NDArray[np.uint64] = np.array([number[name] for name in names], np.uint64)[indexes]
    return by_name


def _any_equal(key: tuple[NDArray[Any], ...]) -> bool:
    order = np.lexsort(key)
    return bool(np.logical_and.reduce([part[order][1:] == part[order][:-1] for part in key]).any())


def check_ledger(entry: LedgerEntry, seq: int, created: int) -> None:
    """The entry is this batch's, and its numbers are numbers of samples. Raises BadBatchError (malformed, bad_value, bad_name)."""
    if entry.seq != seq or len(entry.previous) != len(GENESIS):
        raise BadBatchError(BatchRejection.MALFORMED, "ledger entry of another batch, or without its predecessor")
    reasons = (*entry.rejected, *entry.dropped)
    if len(reasons) > REASONS_LIMIT:
        raise BadBatchError(BatchRejection.MALFORMED, f"ledger entry with {len(reasons)} reasons")
    check_texts((*reasons, *entry.classes))
    if len(entry.classes) > CLASSES_LIMIT:
        raise BadBatchError(BatchRejection.MALFORMED, f"ledger entry with {len(entry.classes)} classes")
    for spans in (entry.replaces, entry.gone):
        check_spans(spans, seq)
    counts = [entry.received, entry.rolled_up, entry.duplicate, entry.open, seq, *entry.rejected.values()]
    counts += [*entry.dropped.values(), abs(entry.net), abs(entry.carried)]
    counts += chain.from_iterable(msgspec.structs.astuple(count) for count in entry.classes.values())
    if min(counts) < 0 or not 0 <= created <= LATEST_MS:
        raise BadBatchError(BatchRejection.MALFORMED, "ledger entry, or time, below zero or beyond all calendars")
    if max(counts) > MAX_NUMBER:
        raise BadBatchError(BatchRejection.BAD_VALUE, f"ledger entry: {max(counts)} is beyond 2^53")


def check_spans(spans: Spans, seq: int) -> None:
    """Few closed intervals that rise and do not touch, of seqs from 1 up to below `seq`. Raises BadBatchError (malformed)."""
    before = -1
    for first, last in spans:
        if not before + 1 < first <= last:
            break
        before = last
    else:
        if before < seq and len(spans) <= SPANS_LIMIT:
            return
    raise BadBatchError(BatchRejection.MALFORMED, f"ledger entry {seq} names seqs that cannot be")


def check_net(entry: LedgerEntry, columns: Columns, replaced: Columns) -> None:
    """First revisions that replace nothing add exactly their samples. Raises BadBatchError (ledger_unbalanced)."""
    plain = not entry.carried and not entry.replaces and not len(replaced["device"])
    first = plain and not columns["revision"].any()
    if first and int(columns["count"].sum(dtype=np.int64)) != entry.net:
        raise BadBatchError(BatchRejection.LEDGER_UNBALANCED, f"net {entry.net} is not the sum of the rows' counts")


def _require(sound: NDArray[np.bool_], what: str) -> None:
    if not sound.all():
        raise BadBatchError(BatchRejection.BAD_VALUE, f"{what} of row {int(np.argmin(sound))}")
