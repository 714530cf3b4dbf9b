"""Columns of samples to bytes and back: delta, byte shuffle, zstd; lossless to the last bit.

Layout of version 1: one byte of version, four of the number of samples n (little-endian), then one zstd frame over
4 n bytes of series (differences, u4), 8 n of timestamps (differences, i8) and 8 n of values (f8), each shuffled: all
first bytes, then all second bytes, and so on (as Blosc does).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from edge_aggregator.decode.decoded import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
_HEAD = struct.Struct("<BI")
_SAMPLE_BYTES = 20
_LEVEL = 1
_MOST_SAMPLES = 1 << 26


class CodecError(ValueError):
    """Bytes that are no columns."""


def pack(samples: Samples) -> bytes:
    """Samples as bytes; equal samples give equal bytes."""
    parts = (
        _differences(samples.series).astype("<u4"),
        _differences(samples.ts).astype("<i8"),
        samples.value.astype("<f8"),
    )
    body = b"".join(_shuffled(part) for part in parts)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    return _HEAD.pack(VERSION, len(samples.series)) + compressor.compress(body)


def unpack(data: bytes) -> Samples:
    """Bytes of `pack` as samples. Raises CodecError."""
    if len(data) < _HEAD.size:
        raise CodecError(f"{len(data)} bytes, expected at least {_HEAD.size}")
    version, count = _HEAD.unpack_from(data)
    if version != VERSION or count > _MOST_SAMPLES:
        raise CodecError(f"version {version} with {count} samples, expected version {VERSION}")
    try:
        body = zstandard.ZstdDecompressor().decompress(data[_HEAD.size :], max_output_size=count * _SAMPLE_BYTES)
    except zstandard.ZstdError as error:
        raise CodecError(str(error)) from error
    if len(body) != count * _SAMPLE_BYTES:
        raise CodecError(f"{len(body)} bytes for {count} samples, expected {count * _SAMPLE_BYTES}")
    series = np.cumsum(_unshuffled(body[: 4 * count], "<u4"), dtype=np.uint32).astype(np.int64)
    ts = np.cumsum(_unshuffled(body[4 * count : 12 * count], "<i8"), dtype=np.int64)
    return Samples(series, ts, _unshuffled(body[12 * count :], "<f8").astype(np.float64))


def pack_integers(column: NDArray[np.int64]) -> bytes:
    """A column of int64, shape (n,), as bytes in the same manner."""
    body = _shuffled(_differences(column).astype("<i8"))
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(body)


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
