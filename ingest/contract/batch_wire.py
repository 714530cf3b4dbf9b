"""Batch to bytes and back; the decoder trusts no length, no index and no value (docs/wire-format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ingest.contract.batch import (
    COLUMNS,
    REPLACED_COLUMNS,
    VERSION,
    DeviceRow,
    MetricRow,
    Origin,
    RollupBatch,
    empty_columns,
)
from ingest.contract.ledger import GENESIS, LedgerEntry
from ingest.contract.reasons import BatchRejection
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROWS = 200_000
MAX_TIME_MS = 1 << 53
OLDEST_VERSION = max(1, VERSION - 2)
TEXT_LIMIT = 256


class BadBatchError(ValueError):
    """A batch that cannot be taken; `reason` says why, `detail` what was found."""

    def __init__(self, reason: BatchRejection, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class _Wire(msgspec.Struct, kw_only=True):
    version: int
    tenant: str
    site: str
    gateway: str
    boot: str
    seq: int
    created: int
    historical: bool
    devices: list[DeviceRow]
    metrics: list[MetricRow]
    columns: dict[str, bytes]
    ledger: LedgerEntry
    replaces: dict[str, bytes] = {}


class _Version(msgspec.Struct):
    version: int


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(_Wire)
_VERSION_DECODER = msgspec.msgpack.Decoder(_Version)


def encode_batch(batch: RollupBatch) -> bytes:
    """The batch as MessagePack; equal batches give equal bytes."""
    return _ENCODER.encode(
        _Wire(
            version=batch.version,
            tenant=batch.origin.tenant,
            site=batch.origin.site,
            gateway=batch.origin.gateway,
            boot=batch.origin.boot,
            seq=batch.seq,
            created=batch.created,
            historical=batch.historical,
            devices=batch.devices,
            metrics=batch.metrics,
            columns=_buffers(batch.columns, COLUMNS),
            ledger=batch.ledger,
            replaces=_buffers(batch.replaces, REPLACED_COLUMNS) if batch.replaces else {},
        )
    )


def decode_batch(value: bytes) -> RollupBatch:
    """Bytes from anywhere to a batch whose columns are read-only views of `value`.

    Raises BadBatchError with the reason; nothing else, whatever the bytes are.
    """
    wire = _parse(value)
    columns = _columns(wire.columns, COLUMNS)
    replaces = _columns(wire.replaces, REPLACED_COLUMNS) if wire.replaces else empty_columns(REPLACED_COLUMNS)
    _check_names(wire)
    _check_rows(columns, wire)
    _check_indexes(replaces, wire)
    _check_ledger(wire, columns)
    return RollupBatch(
        version=wire.version,
        origin=Origin(wire.tenant, wire.site, wire.gateway, wire.boot),
        seq=wire.seq,
        created=wire.created,
        historical=wire.historical,
        devices=wire.devices,
        metrics=wire.metrics,
        columns=columns,
        replaces=replaces,
        ledger=wire.ledger,
    )


def mark_historical(value: bytes) -> bytes:
    """The same encoded batch with `historical` set: what the forwarder does to its own backlog."""
    wire = _DECODER.decode(value)
    wire.historical = True
    return _ENCODER.encode(wire)


def _parse(value: bytes) -> _Wire:
    try:
        version = _VERSION_DECODER.decode(value).version
        if not OLDEST_VERSION <= version <= VERSION:
            raise BadBatchError(BatchRejection.UNSUPPORTED_VERSION, f"version {version}")
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadBatchError(BatchRejection.MALFORMED, str(error)[:TEXT_LIMIT]) from error


def _buffers(columns: dict[str, NDArray[Any]], spec: dict[str, np.dtype[Any]]) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(columns[name], dtype).tobytes() for name, dtype in spec.items()}


def _columns(buffers: dict[str, bytes], spec: dict[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
    missing = spec.keys() - buffers.keys()
    if missing:
        raise BadBatchError(BatchRejection.COLUMN_MISSING, ", ".join(sorted(missing)))
    rows = len(buffers["device"]) // 4
    if rows > MAX_ROWS:
        raise BadBatchError(BatchRejection.TOO_MANY_ROWS, f"{rows} rows, at most {MAX_ROWS}")
    for name, dtype in spec.items():
        if len(buffers[name]) != rows * dtype.itemsize:
            expected = rows * dtype.itemsize
            raise BadBatchError(
                BatchRejection.COLUMN_LENGTH, f"{name}: {len(buffers[name])} bytes, expected {expected}"
            )
    return {name: np.frombuffer(buffers[name], dtype) for name, dtype in spec.items()}


def _check_names(wire: _Wire) -> None:
    names = (wire.tenant, wire.site, wire.gateway, wire.boot, *(row.device for row in wire.devices))
    bad = next((name for name in names if not is_name(name)), None)
    texts = [text for d in wire.devices for text in (d.firmware, d.hardware, d.group)]
    texts += [text for m in wire.metrics for text in (m.name, m.unit, m.kind, *(x for pair in m.labels for x in pair))]
    if bad is None:
        bad = next((text for text in texts if len(text) > TEXT_LIMIT or not _printable(text)), None)
    if bad is None and any(not m.name for m in wire.metrics):
        bad = ""
    if bad is not None:
        raise BadBatchError(BatchRejection.BAD_NAME, repr(bad[:64]))


def _printable(text: str) -> bool:
    return text.isprintable()


def _check_rows(columns: dict[str, NDArray[Any]], wire: _Wire) -> None:
    _check_indexes(columns, wire)
    statistics = np.stack([columns[name] for name in ("sum", "sumsq", "min", "max", "last")])
    sound = (
        (columns["count"] > 0)
        & np.isfinite(statistics).all(axis=0)
        & (columns["min"] <= columns["last"])
        & (columns["last"] <= columns["max"])
        & (columns["sumsq"] >= 0)
    )
    if not sound.all():
        raise BadBatchError(BatchRejection.BAD_VALUE, f"row {int(np.argmin(sound))}")
    key = np.stack([columns[name].astype(np.int64) for name in ("device", "metric", "start", "width")])
    if np.unique(key, axis=1).shape[1] != key.shape[1]:
        raise BadBatchError(BatchRejection.BAD_VALUE, "the same window twice in one batch")


def _check_indexes(columns: dict[str, NDArray[Any]], wire: _Wire) -> None:
    for name, table in (("device", wire.devices), ("metric", wire.metrics)):
        if len(columns[name]) and int(columns[name].max()) >= len(table):
            found = int(columns[name].max())
            raise BadBatchError(BatchRejection.INDEX_OUT_OF_BOUNDS, f"{name} {found} of {len(table)}")
    start, width = columns["start"], columns["width"]
    sound = (width > 0) & (start >= 0) & (start < MAX_TIME_MS)
    if not sound.all():
        raise BadBatchError(BatchRejection.BAD_VALUE, f"start or width of row {int(np.argmin(sound))}")


def _check_ledger(wire: _Wire, columns: dict[str, NDArray[Any]]) -> None:
    entry = wire.ledger
    counts: tuple[int, ...] = (entry.received, entry.rolled_up, entry.duplicate, entry.open, wire.seq, wire.created)
    counts += (*entry.rejected.values(), *entry.dropped.values())
    if min(counts) < 0 or entry.seq != wire.seq or len(entry.previous) != len(GENESIS):
        raise BadBatchError(BatchRejection.MALFORMED, "ledger entry")
    first = columns["revision"] == 0
    if first.all() and not any(wire.replaces.values()) and int(columns["count"].sum(dtype=np.int64)) != entry.net:
        raise BadBatchError(BatchRejection.LEDGER_UNBALANCED, f"net {entry.net} is not the sum of the rows' counts")
