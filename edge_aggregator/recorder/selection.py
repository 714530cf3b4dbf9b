"""The earliest of many samples, each once, without ever holding them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.decode.decoded import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Key(NamedTuple):
    """The order in which samples are sent: `bits` are those of the value as an integer, so that no two differ unseen."""

    ts: int
    series: int
    bits: int


class Selection:
    """Of all samples added, the `most` least by `Key` after `after`, and in [start, end); copies count once.

    Holds at most 2 x `most` and what was added last. `end` comes nearer as soon as later samples cannot be among them;
    `full`: there are more.
    """

    def __init__(self, start: int, end: int, most: int, after: Key | None = None) -> None:
        self.start, self.end, self.full = start, end, False
        self._most, self._after = most, after
        self._held: list[Samples] = []
        self._count = 0

    def add(self, samples: Samples, wanted: NDArray[np.bool_]) -> None:
        """Take those of a block of which the series, shape (series,), is `wanted`."""
        series, ts, value = samples
        mine = wanted[series] & (ts >= self.start) & (ts < self.end)
        if self._after is not None:
            mine &= _after(self._after, samples)
        self._held.append(Samples(series[mine], ts[mine], value[mine]))
        self._count += int(mine.sum())
        if self._count > 2 * self._most:
            self.settle()

    def settle(self) -> Samples:
        """What is selected so far, in order."""
        chosen = _distinct(_joined([_NONE, *self._held]))
        if len(chosen.ts) > self._most:
            chosen = rows_of(chosen, slice(self._most))
            self.full, self.end = True, int(chosen.ts[-1]) + 1
        self._held, self._count = [chosen], len(chosen.ts)
        return chosen


_NONE = Samples(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def rows_of(samples: Samples, rows: slice | NDArray[np.bool_]) -> Samples:
    """Some of the samples."""
    return Samples(samples.series[rows], samples.ts[rows], samples.value[rows])


def last_key(samples: Samples) -> Key:
    """The key of the last of samples that are in order."""
    return Key(int(samples.ts[-1]), int(samples.series[-1]), int(samples.value[-1:].view(np.int64)[0]))


def _joined(parts: Sequence[Samples]) -> Samples:
    series, ts, value = ([getattr(part, name) for part in parts] for name in Samples._fields)
    return Samples(np.concatenate(series), np.concatenate(ts), np.concatenate(value))


def _distinct(samples: Samples) -> Samples:
    series, ts, bits = samples.series, samples.ts, samples.value.view(np.int64)
    order = np.lexsort((bits, series, ts))
    series, ts, bits = series[order], ts[order], bits[order]
    new = np.ones(len(ts), np.bool_)
    new[1:] = (ts[1:] != ts[:-1]) | (series[1:] != series[:-1]) | (bits[1:] != bits[:-1])
    return Samples(series[new], ts[new], bits[new].view(np.float64))


def _after(key: Key, samples: Samples) -> NDArray[np.bool_]:
    series, ts, bits = samples.series, samples.ts, samples.value.view(np.int64)
    later: NDArray[np.bool_] = ts > key.ts
    same = ts == key.ts
    later |= same & ((series > key.series) | ((series == key.series) & (bits > key.bits)))
    return later
