"""numpy arrays in MessagePack: a state with arrays is saved and restored bit by bit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np


def encode_arrays(value: Any) -> Any:
    """The `enc_hook` of msgspec: an array as its type, shape and bytes. Raises NotImplementedError for anything else."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.tobytes()]
    raise NotImplementedError(type(value))


def decode_arrays(kind: type, value: Any) -> Any:
    """The `dec_hook` of msgspec. Raises NotImplementedError for a type that is no array's."""
    if kind is np.ndarray or getattr(kind, "__origin__", None) is np.ndarray:
        dtype, shape, data = value
        return np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    raise NotImplementedError(kind)


def encode(state: Any) -> bytes:
    """A state with arrays as bytes."""
    return msgspec.msgpack.encode(state, enc_hook=encode_arrays)
