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
from ingest.contract.batch_checks import (
    TEXT_LIMIT,
    BadBatchError,
    check_distinct,
    check_ledger,
    check_names,
    check_net,
    check_statistics,
    check_windows,
    columns_of,
)
from ingest.contract.detail_checks import read_details
from ingest.contract.details import to_buffers
from ingest.contract.ledger import LedgerEntry
from ingest.contract.reasons import BatchRejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TEXT_LIMIT", "BadBatchError", "decode_batch", "encode_batch", "mark_historical"]

OLDEST_VERSION = max(1, VERSION - 2)


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
    details: dict[str, dict[str, bytes]] | msgspec.UnsetType = msgspec.UNSET


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
            replaces=_buffers(batch.replaces, REPLACED_COLUMNS) if len(batch.replaces.get("device", ())) else {},
            details=to_buffers(batch.details) or msgspec.UNSET,  # absent, not empty, where no row has any
        )
    )


def decode_batch(value: bytes) -> RollupBatch:
    """Bytes from anywhere to a batch whose columns are read-only views of the message's buffers.

    Raises BadBatchError with the reason; nothing else, whatever the bytes are.
    """
    wire = _parse(value)
    origin = Origin(wire.tenant, wire.site, wire.gateway, wire.boot)
    columns = columns_of(wire.columns, COLUMNS)
    replaces = columns_of(wire.replaces, REPLACED_COLUMNS) if wire.replaces else empty_columns(REPLACED_COLUMNS)
    check_names(origin, wire.devices, wire.metrics)
    check_windows(columns, wire.devices, wire.metrics)
    check_windows(replaces, wire.devices, wire.metrics)
    check_statistics(columns)
    check_distinct(columns, wire.devices, wire.metrics)
    entry = wire.ledger if wire.version > 1 else wire.ledger.first_version()
    check_ledger(entry, wire.seq, wire.created)
    check_net(entry, columns, replaces)
    return RollupBatch(
        version=wire.version,
        origin=origin,
        seq=wire.seq,
        created=wire.created,
        historical=wire.historical,
        devices=wire.devices,
        metrics=wire.metrics,
        columns=columns,
        replaces=replaces,
        details=read_details(wire.details or {}, columns["count"]),
        ledger=entry,
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
