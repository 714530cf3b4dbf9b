"""Timestamps by run (the samples of a series): most devices say all of their metrics at one time, and say them evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.bits import bit_length, unzigzag, zigzag
from ingest.contract.packing.parameters import best_parameters
from ingest.contract.packing.rice import MOST_LOW_BITS, BadCodeError, decode_rice, encode_rice
from ingest.contract.packing.runs import decode_runs, encode_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers


def encode_times(ts: Integers, size: Integers) -> list[bytes]:
    """`ts`, shape (n,), of runs of these sizes, as four sections.

    Which runs have the times of the run before them; of the others the first times, the usual step (ms), and how far
    each step is from it.
    """
    repeats = _repeats(ts, size)
    own = ts[np.repeat(~repeats, size)]
    first = _starts(size[~repeats])
    step = np.diff(own, prepend=np.int64(0))
    inner = np.delete(step, first)
    usual = int(np.median(inner)) if len(inner) else 0
    begins = np.diff(own[first], prepend=np.int64(0))
    return [encode_runs(repeats), _codes(begins), encode_runs(np.array([usual])), _codes(inner - usual)]


def decode_times(sections: Sequence[bytes], size: Integers) -> Integers:
    """What `encode_times` was given. Raises BadCodeError."""
    repeats = decode_runs(sections[0], len(size)) != 0
    number = np.cumsum(~repeats) - 1
    own_size = size[~repeats]
    if (number < 0).any() or (own_size[number] != size).any():
        raise BadCodeError("times of another run that are no times of this one")
    total, first = int(own_size.sum()), _starts(own_size)
    step = np.empty(total, np.int64)
    step[first] = np.diff(np.cumsum(_numbers(sections[1], len(first))), prepend=np.int64(0))
    inner = np.ones(total, np.bool_)
    inner[first] = False
    step[inner] = _numbers(sections[3], total - len(first)) + decode_runs(sections[2], 1)[0]
    own = np.cumsum(_from_runs(step, first, own_size))
    place = np.arange(int(size.sum())) - np.repeat(_starts(size) - first[number], size)
    times: Integers = own[place]
    return times


def _from_runs(step: Integers, first: Integers, size: Integers) -> Integers:
    # A run's first step is the difference to the first time of the run before: take off what came in between.
    last = first + size - 1
    covered = np.cumsum(step)[last] - np.cumsum(step)[first]
    step = step.copy()
    step[first[1:]] -= covered[:-1]
    return step


def _repeats(ts: Integers, size: Integers) -> NDArray[np.bool_]:
    first = _starts(size)
    alike = size[1:] == size[:-1]
    before = np.arange(len(ts)) - np.repeat(np.append(0, np.where(alike, size[:-1], 0))[: len(size)], size)
    same = np.logical_and.reduceat(ts[before] == ts, first) if len(first) else np.empty(0, np.bool_)
    repeats: NDArray[np.bool_] = same & np.append(False, alike)[: len(size)]
    return repeats


def _starts(size: Integers) -> Integers:
    starts: Integers = np.cumsum(size) - size
    return starts


def _codes(numbers: Integers) -> bytes:
    folded = zigzag(numbers)
    parameter = int(best_parameters(bit_length(folded), np.zeros(len(folded), np.int64), 1)[0][0])
    return bytes([parameter]) + encode_rice(folded, np.full(len(folded), parameter))


def _numbers(data: bytes, count: int) -> Integers:
    if not data or data[0] > MOST_LOW_BITS:
        raise BadCodeError("codes without a parameter")
    return unzigzag(decode_rice(data[1:], np.full(count, data[0], np.int64)))
