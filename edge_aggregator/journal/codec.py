"""Columns of samples to bytes and back, lossless to the last bit: quickly for what one commit brings, densely for more.

One byte of version, four of the number of samples n (little-endian), then one zstd frame. Version 1: 4 n bytes of series
(differences, u4), 8 n of timestamps (differences, i8) and 8 n of values (f8), each shuffled: all first bytes, then all
second bytes, and so on (as Blosc does). Version 2: MessagePack, an array of the number of runs and the sections of `dense`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import zstandard

from edge_aggregator.decode.decoded import Samples
from edge_aggregator.journal.dense import decode_dense, encode_dense
from ingest.contract.packing.rice import BadCodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAIN, _DENSE = 1, 2
_HEAD = struct.Struct("<BI")
_SAMPLE_BYTES = 20
_LEVEL = 1
_DENSE_LEVEL = 3
_MOST_DENSE_BYTES = 128
"""More than a sample takes that is all of its run and has escaped codes throughout."""
_SECTION_HEADS = 256
_MOST_SAMPLES = 1 << 26


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[int, list[bytes]])


class CodecError(ValueError):
    """Bytes that are no columns."""


def pack(samples: Samples, *, dense: bool = False) -> bytes:
    """Samples as bytes; equal samples give equal bytes.

    `dense` takes several times as long, and pays where there are several samples a series.
    """
    if dense and len(samples.series):
        return _head(_DENSE, samples) + _compressed(_ENCODER.encode(encode_dense(samples)), _DENSE_LEVEL)
    parts = (
        _differences(samples.series).astype("<u4"),
        _differences(samples.ts).astype("<i8"),
        samples.value.astype("<f8"),
    )
    return _head(_PLAIN, samples) + _compressed(b"".join(_shuffled(part) for part in parts))


def unpack(data: bytes) -> Samples:
    """Bytes of `pack` as samples. Raises CodecError."""
    if len(data) < _HEAD.size:
        raise CodecError(f"{len(data)} bytes, expected at least {_HEAD.size}")
    version, count = _HEAD.unpack_from(data)
    if version not in (_PLAIN, _DENSE) or count > _MOST_SAMPLES:
        raise CodecError(f"version {version} with {count} samples, expected version {_PLAIN} or {_DENSE}")
    return (_unpack_plain if version == _PLAIN else _unpack_dense)(data[_HEAD.size :], count)


def _unpack_plain(data: bytes, count: int) -> Samples:
    body = _decompressed(data, count * _SAMPLE_BYTES)
    if len(body) != count * _SAMPLE_BYTES:
        raise CodecError(f"{len(body)} bytes for {count} samples, expected {count * _SAMPLE_BYTES}")
    series = np.cumsum(_unshuffled(body[: 4 * count], "<u4"), dtype=np.uint32).astype(np.int64)
    ts = np.cumsum(_unshuffled(body[4 * count : 12 * count], "<i8"), dtype=np.int64)
    return Samples(series, ts, _unshuffled(body[12 * count :], "<f8").astype(np.float64))


def _unpack_dense(data: bytes, count: int) -> Samples:
    try:
        return decode_dense(count, *_DECODER.decode(_decompressed(data, count * _MOST_DENSE_BYTES + _SECTION_HEADS)))
    except (BadCodeError, msgspec.DecodeError) as error:
        raise CodecError(str(error)) from error


def _head(version: int, samples: Samples) -> bytes:
    return _HEAD.pack(version, len(samples.series))


def _compressed(body: bytes, level: int = _LEVEL) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_content_size=True).compress(body)


def _decompressed(data: bytes, most: int) -> bytes:
    try:
        if zstandard.frame_content_size(data) > most:
            raise CodecError(f"more than {most} bytes")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=most)
    except zstandard.ZstdError as error:
        raise CodecError(str(error)) from error


def pack_integers(column: NDArray[np.int64]) -> bytes:
    """A column of int64, shape (n,), as bytes in the same manner."""
    body = _shuffled(_differences(column).astype("<i8"))
    return _compressed(body)


def unpack_integers(data: bytes) -> NDArray[np.int64]:
    """Bytes of `pack_integers` as int64, shape (n,)."""
    return np.cumsum(_unshuffled(zstandard.ZstdDecompressor().decompress(data), "<i8"), dtype=np.int64)


def _differences(column: NDArray[Any]) -> NDArray[Any]:
    # Integers wrap around, so that even the greatest jump is lossless.
    return np.diff(column, prepend=column.dtype.type(0))


def _shuffled(column: NDArray[Any]) -> bytes:
    return column.view(np.uint8).reshape(len(column), column.dtype.itemsize).T.tobytes()


def _unshuffled(data: bytes, dtype: str) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    return np.frombuffer(np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes(), dtype)
