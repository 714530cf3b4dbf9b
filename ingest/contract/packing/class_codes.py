"""Golomb-Rice codes of numbers by class: each class has its parameter, and those that are nothing but 0 have no codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.bits import bit_length, steps, unzigzag, zigzag
from ingest.contract.packing.parameters import best_parameters
from ingest.contract.packing.rice import decode_rice, encode_rice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers, Unsigned

ALL_ZERO = 255
"""The parameter of a class without codes."""


class Starts(NamedTuple):
    """How numbers of no known bounds are coded, shape (classes,) each.

    Where `chained`, as the difference to the one before in the class, the first one to `base`; else all to `base`.
    """

    base: Integers
    chained: NDArray[np.bool_]
    parameter: Integers


def encode_numbers(numbers: Unsigned, group: Integers, classes: int) -> tuple[bytes, Integers]:
    """Codes, and the parameter of each class; `group`, shape (n,) like `numbers`, rises."""
    parameter = best_parameters(bit_length(numbers), group, classes)[0]
    some = np.bincount(group[numbers > 0], minlength=classes) > 0
    if not some.all():
        numbers, group = numbers[some[group]], group[some[group]]
    return encode_rice(numbers, parameter[group]), np.where(some, parameter, ALL_ZERO)


def decode_numbers(data: bytes, group: Integers, parameter: Integers) -> Unsigned:
    """What `encode_numbers` was given. Raises BadCodeError."""
    low_bits = parameter.astype(np.int64)[group]
    coded = low_bits != ALL_ZERO
    if coded.all():
        return decode_rice(data, low_bits)
    numbers = np.zeros(len(group), np.uint64)
    numbers[coded] = decode_rice(data, low_bits[coded])
    return numbers


def encode_heights(numbers: Integers, group: Integers, classes: int) -> tuple[bytes, Starts]:
    """Whole numbers below 2^52, shape (n,), in whichever way is shorter for their class; `group` rises."""
    rows = np.bincount(group, minlength=classes)
    first = np.append(0, np.cumsum(rows)[:-1])
    begins = first[rows > 0]
    step = steps(numbers)
    step[begins] = 0
    mean = np.rint(np.bincount(group, numbers, minlength=classes) / np.maximum(rows, 1)).astype(np.int64)
    folded = [zigzag(step), zigzag(numbers - mean[group])]
    costs = [best_parameters(bit_length(one), group, classes)[1] for one in folded]
    chained = costs[0] < costs[1]
    base = np.where(chained, np.append(numbers, 0)[first], mean)
    data, parameter = encode_numbers(np.where(chained[group], *folded), group, classes)
    return data, Starts(base, chained, parameter)


def decode_heights(data: bytes, group: Integers, starts: Starts) -> Integers:
    """What `encode_heights` was given. Raises BadCodeError."""
    off = unzigzag(decode_numbers(data, group, starts.parameter))
    first = np.searchsorted(group, np.arange(len(starts.base)))
    running = np.append(0, np.cumsum(off))
    chain = running[1:] - running[first][group]
    return np.where(starts.chained[group], chain, off) + starts.base[group]
