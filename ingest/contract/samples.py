"""Raw samples that were asked for, as columns: topic `telemetry.samples.v1` (docs/wire-format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ingest.contract.batch import DeviceRow, MetricRow, Origin
from ingest.contract.batch_checks import TEXT_LIMIT, BadBatchError, check_names, check_texts, columns_of
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import LATEST_MS
from ingest.contract.topics import is_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1

SAMPLE_COLUMNS: dict[str, np.dtype[Any]] = {
    "device": np.dtype("<u4"),
    "metric": np.dtype("<u2"),
    "ts": np.dtype("<i8"),
    "value": np.dtype("<f8"),
}
"""Column name to little-endian dtype; `ts` in ms, `device` and `metric` are indexes into the tables."""

ANSWERED = "answered"
"""The outcome of a request that was answered; every other one is a value of RequestRefusal."""

UNREADABLE_LIMIT = 100
"""Blocks that a summary names; `unreadable_blocks` counts them all."""


class UnreadableBlock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A block of the journal that holds samples of the span, or may, and cannot be read; times in ms."""

    position: int
    reason: str
    min_ts: int = 0
    max_ts: int = LATEST_MS


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway's last chunk says of the whole answer.

    `samples` and `chunks` were sent. Of the span asked for, [`covered_from`, `covered_until`) is answered completely,
    but for the samples of `unreadable` blocks: before it the journal has forgotten, from there on the request's
    `most_samples` or the gateway's own bound was reached. Both are equal when nothing is covered.
    """

    outcome: str
    samples: int
    chunks: int
    covered_from: int
    covered_until: int
    unreadable_blocks: int
    unreadable: list[UnreadableBlock]


class SampleChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Part `chunk` (0, 1, 2, …) of one gateway's answer to a request; columns of equal length as in `SAMPLE_COLUMNS`.

    A gateway that was interrupted begins anew under a higher `attempt`; only the highest counts. `summary` is there in
    the last chunk, and in no other.
    """

    origin: Origin
    request: str
    attempt: int
    chunk: int
    created: int
    devices: list[DeviceRow]
    metrics: list[MetricRow]
    columns: dict[str, Any]
    summary: Summary | None = None
    version: int = VERSION

    def __len__(self) -> int:
        return len(self.columns["device"])

    def column(self, name: str) -> NDArray[Any]:
        """One column, shape (rows,), dtype as in `SAMPLE_COLUMNS`."""
        array: NDArray[Any] = self.columns[name]
        return array


class _Wire(msgspec.Struct, kw_only=True):
    version: int
    tenant: str
    site: str
    gateway: str
    boot: str
    request: str
    attempt: int
    chunk: int
    created: int
    devices: list[DeviceRow]
    metrics: list[MetricRow]
    columns: dict[str, bytes]
    summary: Summary | None = None


class _Version(msgspec.Struct):
    version: int


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(_Wire)
_VERSION_DECODER = msgspec.msgpack.Decoder(_Version)


def encode_samples(chunk: SampleChunk) -> bytes:
    """The chunk as MessagePack; equal chunks give equal bytes."""
    return _ENCODER.encode(
        _Wire(
            version=chunk.version,
            **chunk.origin._asdict(),
            request=chunk.request,
            attempt=chunk.attempt,
            chunk=chunk.chunk,
            created=chunk.created,
            devices=chunk.devices,
            metrics=chunk.metrics,
            columns={
                name: np.ascontiguousarray(chunk.columns[name], dtype).tobytes()
                for name, dtype in SAMPLE_COLUMNS.items()
            },
            summary=chunk.summary,
        )
    )


def decode_samples(value: bytes) -> SampleChunk:
    """Bytes from anywhere to a chunk whose columns are read-only views of the message's buffers.

    Raises BadBatchError with the reason; nothing else, whatever the bytes are.
    """
    wire = _parse(value)
    origin = Origin(wire.tenant, wire.site, wire.gateway, wire.boot)
    columns = columns_of(wire.columns, SAMPLE_COLUMNS)
    check_names(origin, wire.devices, wire.metrics)
    _check_numbers(wire)
    _check_rows(columns, len(wire.devices), len(wire.metrics))
    if wire.summary is not None:
        _check_summary(wire.summary)
    return SampleChunk(
        version=wire.version,
        origin=origin,
        request=wire.request,
        attempt=wire.attempt,
        chunk=wire.chunk,
        created=wire.created,
        devices=wire.devices,
        metrics=wire.metrics,
        columns=columns,
        summary=wire.summary,
    )


def _parse(value: bytes) -> _Wire:
    try:
        version = _VERSION_DECODER.decode(value).version
        if version != VERSION:
            raise BadBatchError(BatchRejection.UNSUPPORTED_VERSION, f"version {version}")
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadBatchError(BatchRejection.MALFORMED, str(error)[:TEXT_LIMIT]) from error


def _check_numbers(wire: _Wire) -> None:
    if not is_name(wire.request):
        raise BadBatchError(BatchRejection.BAD_NAME, ascii(wire.request[:64]))
    if min(wire.attempt, wire.chunk) < 0 or not 0 <= wire.created <= LATEST_MS:
        raise BadBatchError(BatchRejection.MALFORMED, "attempt, chunk or time below zero or beyond all calendars")


def _check_rows(columns: dict[str, NDArray[Any]], devices: int, metrics: int) -> None:
    if not len(columns["device"]):
        return
    for name, size in (("device", devices), ("metric", metrics)):
        if (found := int(columns[name].max())) >= size:
            raise BadBatchError(BatchRejection.INDEX_OUT_OF_BOUNDS, f"{name} {found} of {size}")
    ts, value = columns["ts"], columns["value"]
    sound = (ts >= 0) & (ts <= LATEST_MS) & np.isfinite(value)
    if not sound.all():
        raise BadBatchError(BatchRejection.BAD_VALUE, f"ts or value of row {int(np.argmin(sound))}")


def _check_summary(summary: Summary) -> None:
    check_texts([summary.outcome, *(block.reason for block in summary.unreadable)])
    counts = (summary.samples, summary.chunks, summary.unreadable_blocks - len(summary.unreadable))
    if min(counts) < 0 or not 0 <= summary.covered_from <= summary.covered_until <= LATEST_MS:
        raise BadBatchError(BatchRejection.MALFORMED, "summary with a count below zero, or a span that is none")
    if len(summary.unreadable) > UNREADABLE_LIMIT:
        raise BadBatchError(BatchRejection.MALFORMED, f"{len(summary.unreadable)} unreadable blocks named")
