"""Values by run (the samples of a series): whole numbers or levels, each coded by how far it is from what is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_aggregator.journal.dense.fit import Fit, fit, unfit
from edge_aggregator.journal.dense.levels import decode_levels, encode_levels, levels
from edge_aggregator.journal.dense.slabs import slabs
from edge_aggregator.journal.dense.wholes import BITS, Wholes, wholes
from ingest.contract.packing.bits import unzigzag, zigzag
from ingest.contract.packing.class_codes import ALL_ZERO
from ingest.contract.packing.decimals import MOST_PLACES, as_floats, from_ordered_bits
from ingest.contract.packing.rice import MOST_LOW_BITS, BadCodeError, decode_rice, encode_rice
from ingest.contract.packing.varints import decode_varints, encode_varints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

LEVELS = BITS + 1
"""In the place of a number of decimals: the run's values are numbers of levels."""
SECTIONS = 8


def encode_values(value: Floats, size: Integers) -> list[bytes]:
    """`value`, shape (n,), of runs of these sizes (at least 1 each, n at least 1), as `SECTIONS` sections.

    By run: decimal places (or `BITS`, `LEVELS`), whether steps are told, parameter, base (without its coarse bits) and
    slope; then the levels, where odd values are and what they are, and the codes.
    """
    of, first = _index(size)
    places, whole, odd = _wholes(value, size)
    told = _fit(whole, size)
    found, number = levels(value, size, of, told.bits)
    if len(found):
        places[of[number >= 0]] = LEVELS
        told = _fit(np.where(number >= 0, number, whole), size)
    del whole, number  # a megabyte each
    parameter = told.parameters(first, of)
    coded = parameter != ALL_ZERO
    return [
        places.astype(np.uint8).tobytes(),
        told.steps.astype(np.uint8).tobytes(),
        told.parameter.astype(np.uint8).tobytes(),
        encode_varints(np.concatenate([zigzag(told.base >> told.coarse()), zigzag(told.slope)])),
        encode_levels(found),
        encode_varints(np.append(len(odd), np.diff(odd, prepend=-1)).astype(np.uint64)),
        value[odd].astype("<f8").tobytes(),
        encode_rice(told.off[coded], parameter[coded]),
    ]


def _wholes(value: Floats, size: Integers) -> Wholes:
    parts = []
    for runs, samples in slabs(size):
        of, first = _index(size[runs])
        part = wholes(value[samples], first, of)
        parts.append(part._replace(odd=part.odd + samples.start))
    return Wholes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(whole: Integers, size: Integers) -> Fit:
    parts = []
    for runs, samples in slabs(size):
        of, first = _index(size[runs])
        parts.append(fit(whole[samples], first, size[runs], of))
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Fit(*columns)


def _index(size: Integers) -> tuple[Integers, Integers]:
    # The run of each sample, and where each run begins.
    return np.repeat(np.arange(len(size)), size), np.cumsum(size) - size


def decode_values(sections: Sequence[bytes], size: Integers) -> Floats:
    """What `encode_values` was given. Raises BadCodeError."""
    of, first = _index(size)
    places, told = _runs(sections, len(size))
    parameter = told.parameters(first, of)
    off, coded = np.zeros(len(of), np.int64), parameter != ALL_ZERO
    off[coded] = unzigzag(decode_rice(sections[7], parameter[coded]))
    whole = unfit(off, told, first, of)
    value = as_floats(whole, np.minimum(places, MOST_PLACES)[of])
    by_bits = (places == BITS)[of]
    value[by_bits] = from_ordered_bits(whole[by_bits])
    _put_levels(value, whole, (places == LEVELS)[of], decode_levels(sections[4]))
    _put_odd(value, sections[5], sections[6])
    return value


def _runs(sections: Sequence[bytes], runs: int) -> tuple[Integers, Fit]:
    if any(len(section) != runs for section in sections[:3]):
        raise BadCodeError(f"{[len(section) for section in sections[:3]]} bytes for {runs} runs")
    places, steps, parameter = (np.frombuffer(section, np.uint8).astype(np.int64) for section in sections[:3])
    if int(places.max(initial=0)) > LEVELS or ((parameter > MOST_LOW_BITS) & (parameter != ALL_ZERO)).any():
        raise BadCodeError("a run that is told in no known way")
    base, slope = np.split(unzigzag(decode_varints(sections[3], 2 * runs)[0]), 2)
    told = Fit(steps > 0, base, slope, parameter, np.empty(0), np.empty(0, np.uint64))
    return places, told._replace(base=base << told.coarse())


def _put_levels(value: Floats, whole: Integers, where: NDArray[np.bool_], found: Floats) -> None:
    number = whole[where]
    if ((number < 0) | (number >= len(found))).any():
        raise BadCodeError("a level that is not there")
    value[where] = found[number]


def _put_odd(value: Floats, places: bytes, values: bytes) -> None:
    count, used = decode_varints(places, 1)
    if 8 * int(count[0]) != len(values):
        raise BadCodeError(f"{count[0]} odd values in {len(values)} bytes")
    steps = decode_varints(memoryview(places)[used:], int(count[0]))[0]
    place = np.cumsum(np.minimum(steps, np.uint64(len(value) + 1)).astype(np.int64)) - 1
    if len(place) and not 0 <= int(place.min()) <= int(place.max()) < len(value):
        raise BadCodeError("an odd value that has no place")
    value[place] = np.frombuffer(values, "<f8")
