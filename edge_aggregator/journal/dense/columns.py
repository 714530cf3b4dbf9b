"""Columns of samples as sections: runs of one series each, their timestamps, their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.decode.decoded import Samples
from edge_aggregator.journal.dense.times import decode_times, encode_times
from edge_aggregator.journal.dense.values import decode_values, encode_values
from ingest.contract.packing.rice import BadCodeError
from ingest.contract.packing.runs import decode_runs, encode_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN = 2
_TIMES = 4
_VALUES = 8
SECTIONS = _OWN + _TIMES + _VALUES


def encode_dense(samples: Samples) -> tuple[int, list[bytes]]:
    """How many runs there are, and `SECTIONS` sections; of at least one sample."""
    series, ts, value = samples
    first = np.append(0, np.flatnonzero(series[1:] != series[:-1]) + 1)
    size = np.diff(first, append=len(series))
    sections = [encode_runs(series[first]), encode_runs(size)]
    return len(size), [*sections, *encode_times(ts, size), *encode_values(value, size)]


def decode_dense(samples: int, runs: int, sections: Sequence[bytes]) -> Samples:
    """What `encode_dense` was given. Raises BadCodeError."""
    if len(sections) != SECTIONS or not 0 < runs <= samples:
        raise BadCodeError(f"{len(sections)} sections of {runs} runs")
    size = decode_runs(sections[1], runs)
    if (size < 1).any() or (size > samples).any() or int(size.sum()) != samples:
        raise BadCodeError(f"runs that do not make {samples} samples")
    series = np.repeat(decode_runs(sections[0], runs), size)
    ts = decode_times(sections[_OWN : _OWN + _TIMES], size)
    return Samples(series, ts, decode_values(sections[_OWN + _TIMES :], size))
