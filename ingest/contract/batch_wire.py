"""Batch to bytes and back; the decoder trusts no length, no index and no value (docs/wire-format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

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
from ingest.contract.batch_columns import (
    packed_buffers,
    packed_windows,
    plain_buffers,
    unpacked_columns,
    unpacked_windows,
)
from ingest.contract.detail_checks import read_details
from ingest.contract.details import to_buffers
from ingest.contract.ledger import LedgerEntry
from ingest.contract.reasons import BatchRejection

if TYPE_CHECKING:
    from ingest.contract.batch_columns import Columns

__all__ = ["TEXT_LIMIT", "BadBatchError", "decode_batch", "encode_batch", "mark_historical"]

OLDEST_VERSION = max(1, VERSION - 2)
_PLAIN_VERSION = 1
"""Its buffers are the columns as they lie in memory."""


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


class _Packed(_Wire, kw_only=True):
    """From version 2 on, buffers do not tell by their length how many rows they hold."""

    rows: int
    replaced: int = 0


class _Version(msgspec.Struct):
    version: int


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_PLAIN_DECODER = msgspec.msgpack.Decoder(_Wire)
_PACKED_DECODER = msgspec.msgpack.Decoder(_Packed)
_VERSION_DECODER = msgspec.msgpack.Decoder(_Version)


def encode_batch(batch: RollupBatch) -> bytes:
    """The batch as MessagePack, in the layout of its version; equal batches give equal bytes."""
    fields: dict[str, Any] = batch.origin._asdict() | {
        "version": batch.version,
        "seq": batch.seq,
        "created": batch.created,
        "historical": batch.historical,
        "devices": batch.devices,
        "metrics": batch.metrics,
        "ledger": batch.ledger,
        "details": to_buffers(batch.details) or msgspec.UNSET,  # absent, not empty, where no row has any
    }
    replaced = len(batch.replaces.get("device", ()))
    if batch.version == _PLAIN_VERSION:
        columns = plain_buffers(batch.columns, COLUMNS)
        replaces = plain_buffers(batch.replaces, REPLACED_COLUMNS) if replaced else {}
        return _ENCODER.encode(_Wire(**fields, columns=columns, replaces=replaces))
    columns = packed_buffers(batch.columns, len(batch.metrics))
    replaces = packed_windows(batch.replaces) if replaced else {}
    return _ENCODER.encode(_Packed(**fields, columns=columns, replaces=replaces, rows=len(batch), replaced=replaced))


def decode_batch(value: bytes) -> RollupBatch:
    """Bytes from anywhere to a batch of read-only columns (of version 1: views of the message's buffers).

    Raises BadBatchError with the reason; nothing else, whatever the bytes are.
    """
    wire = _parse(value)
    origin = Origin(wire.tenant, wire.site, wire.gateway, wire.boot)
    columns, replaces = _columns(wire)
    check_names(origin, wire.devices, wire.metrics)
    check_windows(columns, wire.devices, wire.metrics)
    check_windows(replaces, wire.devices, wire.metrics)
    check_statistics(columns)
    check_distinct(columns, wire.devices, wire.metrics)
    entry = wire.ledger.first_version() if wire.version == _PLAIN_VERSION else wire.ledger
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
    wire = _parse(value)
    wire.historical = True
    return _ENCODER.encode(wire)


def _parse(value: bytes) -> _Wire:
    try:
        version = _VERSION_DECODER.decode(value).version
        if not OLDEST_VERSION <= version <= VERSION:
            raise BadBatchError(BatchRejection.UNSUPPORTED_VERSION, f"version {version}")
        return (_PLAIN_DECODER if version == _PLAIN_VERSION else _PACKED_DECODER).decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadBatchError(BatchRejection.MALFORMED, str(error)[:TEXT_LIMIT]) from error


def _columns(wire: _Wire) -> tuple[Columns, Columns]:
    nothing = empty_columns(REPLACED_COLUMNS)
    if isinstance(wire, _Packed):
        columns = unpacked_columns(wire.columns, wire.rows, len(wire.metrics))
        return columns, unpacked_windows(wire.replaces, wire.replaced) if wire.replaces else nothing
    columns = columns_of(wire.columns, COLUMNS)
    return columns, columns_of(wire.replaces, REPLACED_COLUMNS) if wire.replaces else nothing
